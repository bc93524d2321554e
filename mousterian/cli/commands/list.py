"""`mousterian list`: plug-ins, recipes and the columns of the store."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.console import console, print_json, table
from mousterian.errors import unknown_name


def list_(kind: str = "", *, json: bool = False) -> int:
    """List the plug-ins of a kind (datasets, models, generators ...) with their options.

    Parameters
    ----------
    kind
        Kind of plug-in, or `recipes`, or `columns` (of the store); without it, all kinds of plug-ins.
    json
        Print as JSON.
    """
    from mousterian.plugins.contract import kinds

    if kind == "recipes":
        return _show_recipes(json)
    if kind == "columns":
        return _show_columns(json)
    if kind and kind not in kinds():
        raise unknown_name("kind", kind, [*kinds(), "recipes", "columns"])
    return _show_plugins([kind] if kind else list(kinds()), json)


def _show_plugins(kinds: list[str], as_json: bool) -> int:
    from mousterian.plugins import registry

    plugins = [plugin for kind in kinds for plugin in registry.available(kind).values()]
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
                for plugin in plugins
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
        for plugin in plugins
    ]
    console().print(table("", rows, keep=("name", "what it is", "options")))
    return EXIT_DONE


def _show_recipes(as_json: bool) -> int:
    from mousterian.training import recipes

    rows: list[dict[str, Any]] = [
        recipes.recipe(name).model_dump(mode="json", exclude_none=True) for name in recipes.names()
    ]
    if as_json:
        return print_json(rows)
    for row in rows:
        values = ", ".join(f"{key}={value}" for key, value in row.items() if key != "name")
        console().print(f"{row['name']}: {values}", highlight=False)
    return EXIT_DONE


def _show_columns(as_json: bool) -> int:
    from mousterian.store.schema import COLUMNS

    columns = [asdict(column) for column in COLUMNS]
    if as_json:
        return print_json(columns)
    console().print(table("", columns, keep=("name", "type", "group", "meaning")))
    return EXIT_DONE
