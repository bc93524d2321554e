"""The commands, one file each; a file of several functions is a group of commands.

A function's signature and docstring are the command's options and help. A file is imported when its command
is used, and imports the rooms it needs inside its functions, so that --help stays fast.
"""

from __future__ import annotations

from pathlib import Path

EXIT_DONE = 0
EXIT_BAD_INPUT = 2  # bad input, or files that are damaged
EXIT_FAILED = 3  # some trials or pools failed, or a rerun differs
EXIT_UNIDENTIFIED = 4  # fit --strict: a parameter is not identified
EXIT_INTERRUPTED = 130

STORE = Path("results/store")
FITS = Path("results/fits")
REPORTS = Path("results/reports")
FIGURES = Path("results/figures")
