"""Datasets, one a file; `data/kinds.py` says what a file has."""
