"""How the documentation is built: `make docs`; a warning is an error there."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "mousterian"
author = "the mousterian maintainers"
version = release = installed("mousterian")
extensions = ["myst_parser", "sitemath", "reference"]  # the last two lie beside this file
exclude_patterns = ["build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "mousterian"
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
# Console blocks are checked by tests/test_docs.py; colours there would only distract.
highlight_language = "none"
