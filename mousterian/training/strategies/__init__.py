"""Strategies: how a mixture is trained on, one a file; `training/kinds.py` says what a file has."""
