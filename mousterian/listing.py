"""What `mousterian list`, `data` and `store ls` show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mousterian import plugins
from mousterian.apart import differences
from mousterian.console import console, print_json, table
from mousterian.errors import unknown_name
from mousterian.options import given_as_text
from mousterian.schema import COLUMNS
from mousterian.store import DIVERGED, DONE, FAILED, STATUSES, Store
from mousterian.training import recipes

# Whose options tell cells apart that have the same names.
_KINDS_OF_OPTIONS = ("dataset", "model", "strategy", "recipe", "generator", "evaluation")


def plugins_of(kind: str, as_json: bool) -> int:
    """Show the plug-ins of a kind, or all kinds, with summary and options."""
    if kind == "recipes":
        rows = [recipes.recipe(name).model_dump(mode="json", exclude_none=True) for name in recipes.names()]
        return print_json(rows) if as_json else _show_recipes(rows)
    if kind == "columns":
        columns = [asdict(column) for column in COLUMNS]
        return print_json(columns) if as_json else _show_columns(columns)
    if kind and kind not in plugins.KINDS:
        raise unknown_name("kind", kind, [*plugins.KINDS, "recipes", "columns"])
    found = [
        plugin for each in ([kind] if kind else plugins.KINDS) for plugin in plugins.available(each).values()
    ]
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


def dataset(name: str, options: Sequence[str], data_dir: Path | None, as_json: bool) -> int:
    """Fetch and verify a dataset and show what and where it is."""
    from mousterian.datasets._cache import data_directory
    from mousterian.datasets._describe import describe

    plugin = plugins.find("datasets", name)
    chosen = plugin.resolve(given_as_text(plugin, options, flag="--option"))
    found = describe(name, chosen, data_directory(data_dir))
    if as_json:
        return print_json(found)
    for key, value in found.items():
        console().print(f"{key:>12}  {value}", highlight=False, markup=False)
    return 0


def cells(folder: Path, as_json: bool) -> int:
    """Show the cells of a store: seeds by status, mean top-1 accuracy of those done and its spread."""
    frame = Store(folder).read()
    keys = [
        "dataset",
        "model",
        "strategy",
        "recipe",
        "generator",
        "trained_on",
        "n_base",
        "n_real_plus",
        "n_syn_plus",
    ]
    for status in STATUSES:
        frame[status] = frame["status"] == status
    frame["top1"] = frame["top1"].where(frame[DONE])
    for kind in _KINDS_OF_OPTIONS:
        frame[f"{kind}_options"] = differences(list(zip(frame[kind], frame[f"{kind}_options"], strict=True)))
    options = [f"{kind}_options" for kind in _KINDS_OF_OPTIONS if frame[f"{kind}_options"].any()]
    grouped = frame.groupby([*keys, *options, "cell", "evaluation"], sort=True)
    rows = (
        grouped.agg(
            done=(DONE, "sum"),
            diverged=(DIVERGED, "sum"),
            failed=(FAILED, "sum"),
            top1=("top1", "mean"),
            spread=("top1", "std"),
        )
        .reset_index()
        .drop(columns="cell")
    )
    if as_json:
        return print_json(json.loads(rows.to_json(orient="records")))
    shown = [row | {"top-1 %": row.pop("top1"), "± %": row.pop("spread")} for row in rows.to_dict("records")]
    out = console()
    out.print(
        table(str(folder), shown, keep=("n_base", "n_real_plus", "n_syn_plus", "done", "failed", "top-1 %"))
    )
    return 0
