"""Printing: JSON, and tables that are not truncated where there is no terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mousterian.cli.commands import EXIT_DONE

WIDE = 160


def console(*, stderr: bool = False) -> Console:
    """Return a console that does not cut long lines when its output goes to a file or a pipe."""
    # No markup: the text contains names and paths that users chose.
    made = Console(stderr=stderr, markup=False)
    if not made.is_terminal:
        made.width = WIDE
    return made


def print_json(value: Any) -> int:
    """Print a value as JSON and return the exit code."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
    return EXIT_DONE


def table(title: str, rows: Sequence[Mapping[Any, Any]], *, keep: Sequence[str] = ()) -> Table:
    """Return rows as a table, without the columns that are constant, except those of `keep`.

    Numbers are aligned to the right: integers with thousands separators, fractions in columns whose heading
    ends in % as per cent with two decimals, missing ones as an empty cell.
    """
    made = Table(title=Text(title), title_justify="left")
    shown = [c for c in rows[0] if c in keep or len({str(row[c]) for row in rows}) > 1]
    for name in shown:
        numeric = isinstance(rows[0][name], (int, float))
        made.add_column(name, justify="right" if numeric else "left")
    for row in rows:
        made.add_row(*(Text(_cell(name, row[name])) for name in shown))
    return made


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "trial"), plural(2000, "trial")
    ('1 trial', '2,000 trials')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _cell(name: str, value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 (NaN)
        return ""
    if isinstance(value, float):
        if name.endswith("%"):
            return f"{100 * value:.2f}"
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
