"""Feature spaces in which images are compared, one a file; `training/kinds.py` says what a file has."""
