"""Quality measures of a pool, one a file; `quality/kinds.py` says what a file has."""
