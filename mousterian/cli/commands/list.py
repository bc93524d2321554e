"""What `mousterian list`, `data` and `store ls` show."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mousterian.cli.console import console, print_json, table
from mousterian.errors import unknown_name
from mousterian.plugins import registry
from mousterian.plugins.contract import kinds


def _plugins_of(kind: str, as_json: bool) -> int:
    """Show the plug-ins of a kind, or all kinds, with summary and options."""
    from mousterian.store.schema import COLUMNS
    from mousterian.training import recipes

    if kind == "recipes":
        rows = [recipes.recipe(name).model_dump(mode="json", exclude_none=True) for name in recipes.names()]
        return print_json(rows) if as_json else _show_recipes(rows)
    if kind == "columns":
        columns = [asdict(column) for column in COLUMNS]
        return print_json(columns) if as_json else _show_columns(columns)
    if kind and kind not in kinds():
        raise unknown_name("kind", kind, [*kinds(), "recipes", "columns"])
    found = [plugin for each in ([kind] if kind else kinds()) for plugin in registry.available(each).values()]
    if as_json:
        return print_json(
            [
                {
                    "kind": plugin.kind,
                    "name": plugin.name,
                    "summary": plugin.summary,
                    "options": {
                        o.name: {"type": o.annotation, "default": o.default} for o in plugin.options.values()
                    },
                }
                for plugin in found
            ]
        )
    rows = [
        {
            "kind": plugin.kind,
            "name": plugin.name,
            "what it is": plugin.summary,
            "options": ", ".join(
                o.name if o.required else f"{o.name}={o.default!r}" for o in plugin.options.values()
            ),
        }
        for plugin in found
    ]
    console().print(table("", rows, keep=("name", "what it is", "options")))
    return 0


def _show_recipes(rows: list[dict[str, Any]]) -> int:
    for row in rows:
        values = ", ".join(f"{key}={value}" for key, value in row.items() if key != "name")
        console().print(f"{row['name']}: {values}", highlight=False)
    return 0


def _show_columns(columns: list[dict[str, str]]) -> int:
    console().print(table("", columns, keep=("name", "type", "group", "meaning")))
    return 0


def list_(kind: str = "", *, json: bool = False) -> int:
    """List the plug-ins of a kind (datasets, models, generators ...) with their options.

    Parameters
    ----------
    kind
        Kind of plug-in, or `recipes`, or `columns` (of the store); without it, all kinds of plug-ins.
    json
        Print as JSON.
    """

    return _plugins_of(kind, json)
