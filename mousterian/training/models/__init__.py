"""Classifiers, one a file; `training/kinds.py` says what a file has."""
