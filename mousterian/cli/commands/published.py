"""`mousterian published`: the tables of the papers."""

from __future__ import annotations

from dataclasses import asdict

from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.console import console, print_json, table


def published(*, json: bool = False) -> int:
    """List the papers' tables that are included; `mousterian fit published:NAME` fits one.

    Parameters
    ----------
    json
        Print as JSON, with sources, misprints and notes.
    """
    from mousterian.fitting import published as published_tables

    tables = [published_tables.load(name) for name in published_tables.names()]
    if json:
        return print_json([asdict(each) for each in tables])
    rows = [
        {"name": t.name, "what": t.title, "source": f"{t.paper}, {t.table}", "rows": len(t.rows)}
        for t in tables
    ]
    console().print(table("published tables", rows, keep=("name", "what", "rows")))
    return EXIT_DONE
