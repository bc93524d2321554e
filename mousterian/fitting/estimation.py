"""From a table to a fit: the engine's surfaces averaged, with draws, components and warnings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mousterian.errors import InputError
from mousterian.fitting import engine, published, variance
from mousterian.fitting import surface as surfaces
from mousterian.fitting.extrapolation import FREEDOM, Extrapolation, shares, slopes
from mousterian.fitting.interval import Interval, rounded_array
from mousterian.fitting.measured_range import MeasuredRange
from mousterian.fitting.model_average import REACH, Member, ModelAverage
from mousterian.fitting.outliers import Outliers
from mousterian.fitting.problem import Fitted, Problem
from mousterian.fitting.profile_likelihood import profile
from mousterian.fitting.result import Fit, SurfaceFit
from mousterian.fitting.surface import Array
from mousterian.fitting.table import Table, check, load

_PUBLISHED = "published:"

# A surface of less weight than this is left out of the average.
_LEAST_WEIGHT = 0.01
# A referee that errs less than this share of what the best surface errs has found something.
_CLEARLY = 0.75
# Errors beyond the data go with the range of accuracies; a flat table is no promise that all stays flat.
_LEAST_SPREAD = 0.02
# Errors of two parameters that correlate more than this are one error.
_TOGETHER = 0.95


def assemble(table: Table, name: str, bootstrap: int, seed: int) -> dict[str, Any]:
    """Fit one surface, or all ("auto"), and return the parts of a `Fit`."""
    every = tuple(surfaces.load(each) for each in surfaces.names())
    wanted = every if name == "auto" else (surfaces.load(name),)
    fits, problem, outliers = engine.fit_all(wanted, every, table)
    averaged, draws = average(fits, problem, bootstrap, seed)
    components = scatter(problem, fits[0]).components
    found = tuple(_surface_fit(fit, problem, draws.get(fit.surface.name)) for fit in fits)
    return {
        "data": _rows(table, averaged, outliers),
        "surfaces": found,
        "components": {part: float(np.sqrt(value)) for part, value in dataclasses.asdict(components).items()},
        "warnings": (*table.warnings, *_warnings(fits, found[0].unidentified, table)),
        "averaged": averaged,
    }


def scatter(problem: Problem, fit: Fitted) -> variance.Scatter:
    """Return how the rows scatter around a fit."""
    table = problem.table
    told = fit.told
    return variance.scatter(table, table.accuracy - fit.values, told.leverage, told.basis, problem.keep)


def average(
    fits: Sequence[Fitted], problem: Problem, count: int, seed: int
) -> tuple[ModelAverage, dict[str, Array]]:
    """Average the surfaces that matter; each draw belongs to one of them, as many to each as its weight says.

    Returns:
        The average, and all draws (count, P) of each of its surfaces by name.
    """
    heavy = [fit for fit in fits if fit.weight >= _LEAST_WEIGHT]
    # To the digits that are saved, so that a saved fit averages as the fresh one does.
    weights = rounded_array(np.array([fit.weight for fit in heavy]) / sum(fit.weight for fit in heavy))
    shares = np.floor(weights * count).astype(int)
    left = count - int(shares.sum())
    shares[np.argsort(shares - weights * count, kind="stable")[:left]] += 1
    chosen = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(heavy)), shares))
    draws = {fit.surface.name: engine.draw(fit, problem, scatter(problem, fit), count, seed) for fit in heavy}
    members = tuple(
        Member(
            fit.surface,
            float(weights[i]),
            rounded_array(fit.theta),
            rounded_array(draws[fit.surface.name][chosen == i]),
        )
        for i, fit in enumerate(heavy)
    )
    points = problem.table.points
    real, syn = float((points.n_base + points.n_real_plus).max()), float(points.n_syn_plus.max())
    beyond = _beyond(fits, problem, count, seed) if len(fits) > 1 else None
    return ModelAverage(members, REACH * syn, REACH * real, beyond), draws


def _beyond(fits: Sequence[Fitted], problem: Problem, count: int, seed: int) -> Extrapolation:
    """Return what counts past the measured range, from how well the surfaces foretold the largest sizes."""
    spread = max(float(np.ptp(problem.target[problem.weights > 0])), _LEAST_SPREAD)
    errors = np.stack([fit.foretold for fit in fits])
    misfit = np.array([fit.cv_rmse for fit in fits])
    excluded = np.array([fit.weight == 0.0 for fit in fits])
    weights = shares(errors, np.where(np.isnan(misfit), spread, misfit), excluded, spread)
    rates = slopes(errors, problem.largest[1], spread)
    heard = np.flatnonzero(weights).tolist()
    rng = np.random.default_rng([seed, 1])
    return Extrapolation(
        measured=MeasuredRange.of(problem.table.rows.assign(outlier=~problem.keep)),
        surfaces=tuple(fits[i].surface for i in heard),
        thetas=tuple(rounded_array(fits[i].theta) for i in heard),
        weights=rounded_array(weights[heard]),
        slopes=rounded_array(rates[heard]),
        choice=rng.choice(len(heard), size=count, p=weights[heard]),
        shocks=rounded_array(rng.standard_t(FREEDOM, size=(count, 2))),
    )


def _rows(table: Table, averaged: ModelAverage, outliers: Outliers) -> pd.DataFrame:
    fitted = table.of_rows(averaged.estimate(table.points))
    return table.rows.assign(
        fitted=rounded_array(fitted),
        residual=rounded_array(table.accuracy - fitted),
        outlier=outliers.flagged,
        z=rounded_array(outliers.z),
        reason=list(outliers.reasons),
    )


def _surface_fit(fit: Fitted, problem: Problem, draws: Array | None) -> SurfaceFit:
    """Return a surface as fitted; its parameters' intervals from draws, or linearised without any."""
    if draws is None:
        ends = [fit.surface.bounded(fit.unknowns + side * 1.96 * fit.spread) for side in (-1.0, 1.0)]
        draws = np.stack(ends)
    found = Interval.of_draws(fit.theta, draws)
    residual = (problem.table.accuracy - fit.values)[problem.keep]
    return SurfaceFit(
        name=fit.surface.name,
        weight=fit.weight,
        aicc=fit.aicc,
        cv_rmse=fit.cv_rmse,
        rmse=float(np.sqrt(np.mean(residual**2))),
        parameters={
            name: Interval(*(float(part[i]) for part in (found.estimate, found.low, found.high)))
            for i, name in enumerate(fit.surface.parameters)
        },
        latex=fit.surface.latex,
        unidentified=() if fit.weight < _LEAST_WEIGHT else _untold(fit, problem),
        foretold=(float(fit.foretold[0]), float(fit.foretold[1])),
    )


def _untold(fit: Fitted, problem: Problem) -> tuple[str, ...]:
    profiles = profile(fit.surface, problem, fit.unknowns, fit.loss, fit.told.spent)
    return tuple(name for name, found in profiles.items() if not found.told)


def _warnings(fits: Sequence[Fitted], untold: Sequence[str], table: Table) -> list[str]:
    best = fits[0]
    found = []
    if not math.isfinite(best.aicc):
        found.append(f"Too few rows ({len(table.rows)}) to weigh surfaces by how well they explain the data.")
    referee = min((fit.cv_rmse for fit in fits if fit.surface.referee), default=math.inf)
    if len(fits) > 1 and referee < _CLEARLY * best.cv_rmse:
        found.append(
            "A smooth rising surface without a formula tells left-out cells better"
            f" ({100 * referee:.1f} against {100 * best.cv_rmse:.1f} points): the formulas miss something."
        )
    names = best.surface.parameters
    for name in untold:
        others = np.abs(best.told.correlation[names.index(name)])
        others[names.index(name)] = 0.0
        partner = f", which {names[int(others.argmax())]} can make up for" if others.max() > _TOGETHER else ""
        found.append(f"The table does not tell {name} of {best.surface.name}{partner}.")
    return found


def fit(
    table: pd.DataFrame | Path | str,
    *,
    surface: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    name: str = "",
    labels: Mapping[str, str] | None = None,
) -> Fit:
    """Fit accuracy surfaces to a table of trials.

    Args:
        table: columns n_base, n_real_plus, n_syn_plus and accuracy (or top1; fraction or percent), and where
            known total (test images), weight, training_seed (or seed), subset_seed; or a file of one; or
            "published:NAME" for a table of a paper.
        surface: a surface's name, or "auto" for all of them, weighted.
        bootstrap: draws that intervals are made of.
        seed: of those draws.
        name: of the fit; a file's name by default.
        labels: what describes the arm (dataset, generator, trained_on, model, ...).

    Raises:
        InputError: the table cannot be used; the message names the rows.
    """
    if bootstrap < 20 or seed < 0:
        raise InputError(f"bootstrap is {bootstrap} and seed {seed}: at least 20 draws, and a seed from 0 on")
    given = ""
    if isinstance(table, str) and table.startswith(_PUBLISHED):
        found = published.load(table.removeprefix(_PUBLISHED))
        table, given, labels = found.rows, found.name, labels or found.labels
    elif not isinstance(table, pd.DataFrame):
        given = Path(table).stem
    checked = check(load(table))
    return Fit(
        name=name or given,
        labels=dict(labels or {}),
        settings={"surface": surface, "bootstrap": bootstrap, "seed": seed},
        **assemble(checked, surface, bootstrap, seed),
    )
