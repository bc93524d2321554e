"""Figures of reports, one a file; `reporting/kinds.py` says what a file has."""
