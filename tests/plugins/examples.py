"""The examples of docs/howto/own-plugin.md as a package outside the house."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import ROOT

PAGE = ROOT / "docs" / "howto" / "own-plugin.md"
_EXAMPLE = re.compile(r"^## `(\w+)`$.*?^```python\n# my_package/(\w+)\.py\n(.*?)^```$", re.M | re.S)
# Kind -> name and text of its example.
EXAMPLES = {kind: (name, text) for kind, name, text in _EXAMPLE.findall(PAGE.read_text())}


def write_package(folder: Path) -> Path:
    """Write the examples as the package `my_package` and return its folder."""
    package = folder / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name, text in EXAMPLES.values():
        (package / f"{name}.py").write_text(text)
    return package
