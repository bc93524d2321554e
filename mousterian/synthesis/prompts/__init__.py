"""Writers of prompts for text-to-image generators, one a file; `synthesis/kinds.py` says what a file has."""
