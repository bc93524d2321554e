"""Surfaces, formulas for accuracy, one a file; `fitting/kinds.py` says what a file has."""
