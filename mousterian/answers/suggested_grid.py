"""The grid file of suggested trials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mousterian.errors import InputError
from mousterian.fitting.result import Fit

_PLUGINS = ("dataset", "model", "strategy", "evaluation")
_SIZES = ("n_base", "n_real_plus", "n_syn_plus")


def grid_text(fit: Fit, cells: pd.DataFrame) -> str:
    """Return a grid file that runs suggested trials.

    Args:
        fit: of a store's arm, whose labels describe its trials.
        cells: as from `suggest`.

    Raises:
        InputError: the fit is of a table without labels.
    """
    labels = fit.labels
    missing = [name for name in (*_PLUGINS, "recipe") if not labels.get(name)]
    if missing or "recipe_options" not in labels:
        raise InputError(
            "this fit does not record how its trials were run, so no grid file can be written",
            where=fit.name,
            hint="use a fit of a store, or --json for the cells alone",
        )
    lines = [f"# Suggested by `mousterian suggest` for the fit {fit.name}.", f"# {cells.attrs['reason']}", ""]
    lines += [f"{kind} = {_table(labels[kind], labels.get(f'{kind}_options', '{}'))}" for kind in _PLUGINS]
    lines.append(f"recipe = {_toml(json.loads(labels['recipe_options']))}")
    if labels.get("imbalance", "1.0") != "1.0":
        lines.append(f"imbalance = {labels['imbalance']}")
    first = cells.iloc[0]
    lines += [f"{name} = {first[name]}" for name in ("subset_seeds", "generator_seeds")]
    for row in cells.to_dict("records"):
        sizes = [f"{name} = {row[name]}" for name in (*_SIZES, "training_seeds")]
        lines += ["", "[[cell]]", *sizes]
    if (cells["n_syn_plus"] > 0).any():
        lines += ["", *_generator(labels)]
    return "\n".join(lines) + "\n"


def _generator(labels: Mapping[str, str]) -> list[str]:
    lines = ["[generator]", f'name = "{labels["generator"]}"', f'trained_on = "{labels["trained_on"]}"']
    if labels.get("n_upstream", "0") != "0":
        lines.append(f"n_upstream = {labels['n_upstream']}")
    options = json.loads(labels.get("generator_options", "{}"))
    return [*lines, *(f"{name} = {_toml(value)}" for name, value in options.items() if value is not None)]


def _table(name: str, options: str) -> str:
    return _toml({"name": name, **json.loads(options)})


def _toml(value: Any) -> str:
    """Return a value of JSON as TOML on one line; TOML has no null, so such keys are left out."""
    if isinstance(value, dict):
        items = ", ".join(f"{key} = {_toml(each)}" for key, each in value.items() if each is not None)
        return f"{{{items}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)
