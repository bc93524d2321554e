"""From a table to a fit: model average, bootstrap draws, variance components and warnings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mousterian.errors import InputError, error_source
from mousterian.fitting import engine, published, variance
from mousterian.fitting import surface as surfaces
from mousterian.fitting.arms import refuse_several
from mousterian.fitting.columns import named
from mousterian.fitting.extrapolation import FREEDOM, Extrapolation, slopes
from mousterian.fitting.extrapolation import weights as extrapolation_weights
from mousterian.fitting.image_sampling import ImageSampling, share_of_differences
from mousterian.fitting.interval import Interval, rounded_array
from mousterian.fitting.measured_range import MeasuredRange
from mousterian.fitting.model_average import SEARCH_FACTOR, Member, ModelAverage, draw_order
from mousterian.fitting.noise import UNKNOWN, noise_is_known, without_intervals
from mousterian.fitting.outliers import Outliers
from mousterian.fitting.problem import Fitted, Problem
from mousterian.fitting.profile_likelihood import unidentified_parameters
from mousterian.fitting.result import Fit, SurfaceFit
from mousterian.fitting.surface import Array
from mousterian.fitting.table import Table, check
from mousterian.fitting.understanding import Understood, read, understood
from mousterian.fitting.variance import Scatter
from mousterian.store import leaks

# Surfaces of less weight than this are left out of the average.
_LEAST_WEIGHT = 0.01
# Held-out error of the baseline, relative to the best surface's, that indicates misspecification.
_MISSPECIFIED = 0.75
# Extrapolation errors scale with the range of accuracies; a flat table does not mean that they vanish.
_LEAST_RANGE = 0.02
# Parameters whose errors correlate more than this are confounded.
_CONFOUNDED = 0.95


def assemble(table: Table, name: str, bootstrap: int, seed: int) -> dict[str, Any]:
    """Fit one surface, or all ("auto"), and return the parts of a `Fit`."""
    every = tuple(surfaces.load(each) for each in surfaces.names())
    wanted = every if name == "auto" else (surfaces.load(name),)
    fits, problem, outliers = engine.fit_all(wanted, every, table)
    averaged, draws = average(fits, problem, bootstrap, seed)
    scatter = variance.scatter(problem, fits[0])
    found = tuple(_surface_fit(fit, problem, draws.get(fit.surface.name)) for fit in fits)
    data = _rows(table, averaged, outliers)
    known = noise_is_known(data, len(found[0].parameters))
    if not known:
        found = tuple(without_intervals(each) for each in found)
    return {
        "data": data,
        "surfaces": found,
        "components": {
            part: float(np.sqrt(value)) for part, value in dataclasses.asdict(scatter.components).items()
        },
        "conditional": table.levels.conditional,
        "test_set_share": _test_set_share(table, averaged, scatter),
        "warnings": (
            *table.warnings,
            *(() if known else (UNKNOWN,)),
            *_warnings(fits, found[0].unidentified, table),
        ),
        "averaged": dataclasses.replace(averaged, noise_known=known),
    }


def _test_set_share(table: Table, averaged: ModelAverage, scatter: Scatter) -> float:
    if scatter.images is None:
        return math.nan
    draws = table.of_cells(averaged.drawn(table.points))
    return share_of_differences(scatter.images, draws, table.rows["n_base"].to_numpy(), table.cell)


def average(
    fits: Sequence[Fitted], problem: Problem, count: int, seed: int
) -> tuple[ModelAverage, dict[str, Array]]:
    """Average the surfaces with weight; each draw belongs to one of them, in proportion to the weights.

    Returns:
        The average, and all draws (count, P) of each of its surfaces by name.
    """
    heavy = [fit for fit in fits if fit.weight >= _LEAST_WEIGHT]
    # Rounded as they are saved, so that a saved fit gives the same average.
    weights = rounded_array(np.array([fit.weight for fit in heavy]) / sum(fit.weight for fit in heavy))
    shares = np.floor(weights * count).astype(int)
    left = count - int(shares.sum())
    shares[np.argsort(shares - weights * count, kind="stable")[:left]] += 1
    chosen = draw_order(shares, seed)
    draws = {
        fit.surface.name: engine.draw(fit, problem, variance.scatter(problem, fit), count, seed)
        for fit in heavy
    }
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
    extrapolation = _extrapolation(fits, problem, count, seed) if len(fits) > 1 else None
    return ModelAverage(members, SEARCH_FACTOR * syn, SEARCH_FACTOR * real, extrapolation), draws


def _extrapolation(fits: Sequence[Fitted], problem: Problem, count: int, seed: int) -> Extrapolation:
    """Return the extrapolation, weighted by the surfaces' back-test errors."""
    spread = max(float(np.ptp(problem.target[problem.weights > 0])), _LEAST_RANGE)
    errors = np.stack([fit.extrapolation_error for fit in fits])
    misfit = np.array([fit.cv_rmse for fit in fits])
    excluded = np.array([fit.weight == 0.0 for fit in fits])
    weights = extrapolation_weights(errors, np.where(np.isnan(misfit), spread, misfit), excluded, spread)
    rates = slopes(errors, problem.backtest[1], spread)
    used = np.flatnonzero(weights).tolist()
    rng = np.random.default_rng([seed, 1])
    return Extrapolation(
        measured=MeasuredRange.of(problem.table.rows.assign(outlier=~problem.keep)),
        surfaces=tuple(fits[i].surface for i in used),
        thetas=tuple(rounded_array(fits[i].theta) for i in used),
        weights=rounded_array(weights[used]),
        slopes=rounded_array(rates[used]),
        choice=rng.choice(len(used), size=count, p=weights[used]),
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
    """Return a surface as fitted; parameter intervals come from the draws, or else from linearisation."""
    if draws is None:
        ends = [fit.surface.bounded(fit.unknowns + side * 1.96 * fit.standard_errors) for side in (-1.0, 1.0)]
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
        unidentified=() if fit.weight < _LEAST_WEIGHT else unidentified_parameters(fit, problem),
        extrapolation_error=(float(fit.extrapolation_error[0]), float(fit.extrapolation_error[1])),
    )


def _warnings(fits: Sequence[Fitted], unidentified: Sequence[str], table: Table) -> list[str]:
    best = fits[0]
    found = []
    if not math.isfinite(best.aicc):
        found.append(f"Too few rows ({len(table.rows)}) to weight the surfaces by AICc.")
    baseline = min((fit.cv_rmse for fit in fits if fit.surface.nonparametric), default=math.inf)
    if len(fits) > 1 and baseline < _MISSPECIFIED * best.cv_rmse:
        found.append(
            f"The nonparametric baseline predicts held-out cells better ({100 * baseline:.1f} against"
            f" {100 * best.cv_rmse:.1f} points of error): the surfaces are misspecified."
        )
    names = best.surface.parameters
    for name in unidentified:
        others = np.abs(best.information.correlation[names.index(name)])
        others[names.index(name)] = 0.0
        partner = names[int(others.argmax())] if others.max() > _CONFOUNDED else ""
        reason = f": {name} and {partner} are confounded" if partner else ""
        surface = best.surface.name
        found.append(f'Parameter {name} (surface "{surface}") is not identifiable from these data{reason}.')
    return found


def fit(
    table: pd.DataFrame | Path | str | Understood,
    *,
    surface: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
    name: str = "",
    labels: Mapping[str, str] | None = None,
    sampling: ImageSampling | None = None,
    warnings: Sequence[str] = (),
) -> Fit:
    """Fit accuracy surfaces to a table of trials; arguments and errors are those of `mousterian.fit`.

    `sampling` is of the test images that the table's rows share, in their order; `warnings` are of how the
    table was read.
    """
    if bootstrap < 20 or seed < 0:
        raise InputError(
            f"bootstrap is {bootstrap} and seed {seed}; at least 20 draws, and a seed of 0 or more"
        )
    known, given, described = _understood(table)
    labels = labels or described
    frame = known.rows
    refuse_several(frame)
    if labels and "trained_on" in labels and "trained_on" not in frame:
        frame = frame.assign(trained_on=labels["trained_on"])
    known = dataclasses.replace(known, rows=frame, warnings=(*warnings, *known.warnings))
    checked = check(known, sampling)
    return Fit(
        name=name or given,
        labels=dict(labels),
        settings={"surface": surface, "bootstrap": bootstrap, "seed": seed},
        leaks=leaks.sentences(frame),
        **assemble(checked, surface, bootstrap, seed),
    )


def _understood(table: pd.DataFrame | Path | str | Understood) -> tuple[Understood, str, Mapping[str, str]]:
    """Return a table's rows, its name, "" if it has none, and labels."""
    if isinstance(table, Understood):
        return table, "", {}
    if isinstance(table, pd.DataFrame):
        return understood(read(table)), "", {}
    if str(table).startswith(published.PREFIX):
        found = published.load(str(table).removeprefix(published.PREFIX))
        return understood(named(found.rows, ours=True)), found.name, found.labels
    with error_source(str(table)):
        return understood(read(table)), Path(table).stem, {}
