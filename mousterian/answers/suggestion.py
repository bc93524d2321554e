"""The most informative trials for a fit, and a grid file of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mousterian.answers.measured import with_synthetic
from mousterian.errors import InputError
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Array, Points

_PLUGINS = ("dataset", "model", "strategy", "evaluation")
# Values of r_real whose equivalences a suggestion is to narrow.
_TARGET_RATIOS = (0.25, 0.5, 1.0)


def suggest(fit: Fit, *, trials: int) -> pd.DataFrame:
    """Return the trials that would narrow the fit's equivalences most.

    I-optimal design on the averaged surface: the draws are the prior, and a trial's value is the reduction in
    the variance of the log equivalences given its result. Trials are chosen greedily, each given those before
    it; a cell chosen twice gets two seeds.

    Args:
        fit: of the arm.
        trials: how many, at least 1.

    Returns:
        One row per cell, most informative first: n_base, n_real_plus, n_syn_plus, trials. `attrs["spread"]`
        and `attrs["spread_after"]` are the standard deviation of ln(n_syn_plus) before and after them, root
        mean square over equivalences at the measured bases.

    Raises:
        InputError: fewer than one trial, or the fit has no synthetic data at two base sizes.
    """
    if trials < 1:
        raise InputError(f"{trials} trials asked for; at least 1")
    rows = fit.data[~fit.data["outlier"]]
    bases = np.unique(with_synthetic(rows)["n_base"].to_numpy(dtype=float))
    if not len(bases):
        raise InputError(
            "no synthetic data with a base set in this fit, so there is no equivalence to narrow"
        )
    asked = np.array([(base, ratio * base) for base in bases for ratio in _TARGET_RATIOS])
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
    """Return the chosen cells without repeats, in order of first choice."""
    unique, first, counts = np.unique(chosen, return_index=True, return_counts=True)
    order = np.argsort(first)
    listed = pd.DataFrame(cells[unique[order]].astype(int), columns=["n_base", "n_real_plus", "n_syn_plus"])
    return listed.assign(trials=counts[order])


def _candidates(rows: pd.DataFrame, bases: Array) -> Array:
    """Return candidate cells, (C, 3): at and between the measured bases, up to the measured ratios."""
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
        wanted: centred draws of the target quantities, (D, Q).
        measured: centred draws of each candidate's result, (D, C).
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
        # Condition the Gaussian on this trial's result.
        across = across - np.outer(across[:, best], among[best]) / scale
        among = among - np.outer(among[:, best], among[best]) / scale
        found.append(best)
    return found, float(np.sqrt(np.maximum(variance, 0.0).mean()))


def grid_text(fit: Fit, cells: pd.DataFrame) -> str:
    """Return a grid file that runs suggested trials with training seeds not used so far.

    Args:
        fit: of a store's arm, whose labels describe its trials.
        cells: columns n_base, n_real_plus, n_syn_plus and trials, as from `suggest`.

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
    lines = [f"# Suggested by `mousterian suggest`: the most informative trials for the fit {fit.name}.", ""]
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
