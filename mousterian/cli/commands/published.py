"""`mousterian published`."""

from __future__ import annotations

from dataclasses import asdict

from mousterian.cli.console import console, print_json, table


def published(*, json: bool = False) -> int:
    """List the papers' tables that ship as data; `mousterian fit published:NAME` fits one.

    Parameters
    ----------
    json
        Print as JSON, with sources, misprints and notes.
    """

    return _show(json)


def _show(as_json: bool) -> int:
    """Print the papers' tables that ship as data."""
    from mousterian.fitting import published as published_tables

    tables = [published_tables.load(name) for name in published_tables.names()]
    if as_json:
        return print_json([asdict(each) for each in tables])
    rows = [
        {"name": t.name, "what": t.title, "source": f"{t.paper}, {t.table}", "rows": len(t.rows)}
        for t in tables
    ]
    console().print(table("published tables", rows, keep=("name", "what", "rows")))
    return 0
