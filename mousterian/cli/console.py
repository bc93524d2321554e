"""What is printed: JSON, and tables as wide as they need to be where no terminal limits them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 160


def console(*, stderr: bool = False) -> Console:
    """Return a console that does not cut long lines when its output goes to a file or a pipe."""
    # No markup: what is printed holds names and paths that users chose.
    made = Console(stderr=stderr, markup=False)
    if not made.is_terminal:
        made.width = WIDE
    return made


def print_json(value: Any) -> int:
    """Print a value as JSON and return exit code 0."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
    return 0


def table(title: str, rows: Sequence[Mapping[Any, Any]], *, keep: Sequence[str] = ()) -> Table:
    """Return rows as a table, without the columns that say the same in every row; `keep` stay all the same.

    Numbers are set to the right, whole ones with thousands separators, shares of one as per cent with two
    decimals (their heading ends in %), missing ones as an empty cell.
    """
    made = Table(title=Text(title), title_justify="left")
    shown = [c for c in rows[0] if c in keep or len({str(row[c]) for row in rows}) > 1]
    for name in shown:
        numeric = isinstance(rows[0][name], (int, float))
        made.add_column(name, justify="right" if numeric else "left")
    for row in rows:
        made.add_row(*(Text(_cell(name, row[name])) for name in shown))
    return made


def _cell(name: str, value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 (NaN)
        return ""
    if isinstance(value, float):
        if name.endswith("%"):
            return f"{100 * value:.2f}"
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
