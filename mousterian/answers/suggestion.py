"""The trials that a fit would learn most from, and a grid file of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mousterian.errors import InputError
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Array, Points

_PLUGINS = ("dataset", "model", "strategy", "evaluation")
# Real images added, as multiples of the base, that a suggestion is to make the equivalence sharper for.
_ASKED = (0.25, 0.5, 1.0)


def suggest(fit: Fit, *, trials: int) -> pd.DataFrame:
    """Return the trials that would make the fit's equivalences sharpest.

    I-optimal on the averaged surface: the draws stand for what may be true, so a trial is worth as much as
    its result goes with the logarithm of the equivalences, over surfaces and parameters alike. Trials are
    chosen one by one, each given those before it; a cell chosen twice wants two seeds.

    Args:
        fit: of the arm.
        trials: how many, at least 1.

    Returns:
        One row a cell, most telling first: n_base, n_real_plus, n_syn_plus, trials. `attrs["spread"]` and
        `attrs["spread_after"]` are the standard deviation of ln(n_syn_plus) now and once they are run, root
        mean square over equivalences at the measured bases.

    Raises:
        InputError: fewer than one trial, or the fit has no synthetic data at two base sizes.
    """
    if trials < 1:
        raise InputError(f"{trials} trials asked for; at least 1")
    rows = fit.data[~fit.data["outlier"]]
    bases = np.unique(
        rows.loc[(rows["n_syn_plus"] > 0) & (rows["n_base"] > 0), "n_base"].to_numpy(dtype=float)
    )
    if not len(bases):
        raise InputError("no synthetic data with a base set in this fit, so there is nothing to make sharper")
    asked = np.array([(base, ratio * base) for base in bases for ratio in _ASKED])
    _, equivalents = fit.averaged.synthetic_for(asked[:, 0], asked[:, 1])
    wanted = np.log(np.clip(equivalents, 1.0, fit.averaged.most_synthetic))
    cells = _candidates(rows, bases)
    measured = fit.averaged.drawn(Points.of(*cells.T))
    noise = float(np.sqrt(fit.components["trial"] ** 2 + fit.components["seed"] ** 2))
    chosen, after = _greedy(
        wanted - wanted.mean(axis=0), measured - measured.mean(axis=0), max(noise, 1e-4), trials
    )
    listed = _listed(cells, chosen)
    listed.attrs = {"spread": float(np.sqrt(wanted.var(axis=0).mean())), "spread_after": after}
    return listed


def _listed(cells: Array, chosen: list[int]) -> pd.DataFrame:
    """Return the chosen cells, each once, in the order they were first chosen in."""
    unique, first, counts = np.unique(chosen, return_index=True, return_counts=True)
    order = np.argsort(first)
    listed = pd.DataFrame(cells[unique[order]].astype(int), columns=["n_base", "n_real_plus", "n_syn_plus"])
    return listed.assign(trials=counts[order])


def _candidates(rows: pd.DataFrame, bases: Array) -> Array:
    """Return cells (C, 3) worth a trial: at measured bases and between them, up to the measured ratios."""
    between = np.round(np.sqrt(bases[1:] * bases[:-1]))
    most_real = float((rows["n_base"] + rows["n_real_plus"]).max())
    most_syn = float((rows["n_syn_plus"] / rows["n_base"].where(rows["n_base"] > 0)).max())
    ratios = [0.25, 0.5, *(2.0**k for k in range(int(np.log2(max(most_syn, 2.0))) + 1))]
    found = set()
    for base in (*bases, *between):
        mixtures = [(0.0, 0.0), *((0.0, round(ratio * base)) for ratio in ratios)]
        mixtures += [(round(r * base), 0.0) for r in (0.25, 0.5, 1, 2) if base * (1 + r) <= most_real]
        found |= {(float(base), float(real), float(syn)) for real, syn in mixtures}
    return np.array(sorted(found))


def _greedy(wanted: Array, measured: Array, noise: float, trials: int) -> tuple[list[int], float]:
    """Return the chosen cells in order, and the root mean square spread of `wanted` after them.

    Args:
        wanted: centred draws of what is to be known, (D, Q).
        measured: centred draws of what each candidate would show, (D, C).
        noise: standard deviation of one trial.
        trials: how many to choose.
    """
    count = len(wanted) - 1
    across = wanted.T @ measured / count
    among = measured.T @ measured / count
    variance = (wanted**2).sum(axis=0) / count
    found = []
    for _ in range(trials):
        gain = (across**2).sum(axis=0) / (np.diag(among) + noise**2)
        best = int(np.argmax(gain))
        scale = among[best, best] + noise**2
        variance = variance - across[:, best] ** 2 / scale
        # What is left to learn once this trial is known: the usual update of a Gaussian.
        across = across - np.outer(across[:, best], among[best]) / scale
        among = among - np.outer(among[:, best], among[best]) / scale
        found.append(best)
    return found, float(np.sqrt(np.maximum(variance, 0.0).mean()))


def grid_text(fit: Fit, cells: pd.DataFrame) -> str:
    """Return a grid file that runs suggested trials with training seeds not used so far.

    Args:
        fit: of a store's arm; its labels say what was trained on what.
        cells: columns n_base, n_real_plus, n_syn_plus and trials, as `planning.suggest` gives them.

    Raises:
        InputError: the fit is of a table that does not say how it was made.
    """
    labels = fit.labels
    missing = [name for name in (*_PLUGINS, "recipe") if not labels.get(name)]
    if missing or "recipe_options" not in labels:
        raise InputError(
            "this fit does not say how its trials were run, so no grid file can be written for more of them",
            where=fit.name,
            hint="suggest a grid from a fit of a store, or use --json for the cells alone",
        )
    lines = [f"# Suggested by `mousterian suggest`: what would sharpen the fit {fit.name} most.", ""]
    lines += [f"{kind} = {_table(labels[kind], labels.get(f'{kind}_options', '{}'))}" for kind in _PLUGINS]
    lines.append(f"recipe = {_toml(json.loads(labels['recipe_options']))}")
    if labels.get("imbalance", "1.0") != "1.0":
        lines.append(f"imbalance = {labels['imbalance']}")
    seeds = fit.data["training_seed"].dropna()
    first = int(seeds.max()) + 1 if len(seeds) else 0
    for row in cells.to_dict("records"):
        sizes = [f"{name} = {int(row[name])}" for name in ("n_base", "n_real_plus", "n_syn_plus")]
        lines += ["", "[[cell]]", *sizes]
        lines.append(f"training_seeds = {list(range(first, first + int(row['trials'])))}")
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
