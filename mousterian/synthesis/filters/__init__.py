"""Filters of a pool's images, one a file; `synthesis/kinds.py` says what a file has."""
