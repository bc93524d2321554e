"""The verbs of the command line, one file each; a file of several functions is a group of verbs.

Nothing is imported until a verb runs: its function's signature and docstring are its options and help.
"""

from __future__ import annotations

from pathlib import Path

EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED = 0, 3, 130

STORE = Path("results/store")
FITS = Path("results/fits")
REPORTS = Path("results/reports")
FIGURES = Path("results/figures")
