"""Generators, one a file; `synthesis/kinds.py` says what a file has."""
