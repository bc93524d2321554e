"""Sphinx configuration: `make docs` builds the site; a warning is an error."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "mousterian"
author = "the mousterian maintainers"
version = release = installed("mousterian")
extensions = ["myst_parser", "sitemath", "reference"]  # the last two are beside this file
exclude_patterns = ["build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "mousterian"
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
# Console blocks are checked by tests/test_docs.py; highlighting would only distract.
highlight_language = "none"
