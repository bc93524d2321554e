"""Evaluations of a classifier, one a file; `training/kinds.py` says what a file has."""
