"""What the engine found, put together for those who ask: rows, surfaces, draws, warnings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mousterian.fitting import engine
from mousterian.fitting import surface as surfaces
from mousterian.fitting.averaged import REACH, Averaged, Member
from mousterian.fitting.engine import Fitted
from mousterian.fitting.interval import Interval, rounded_array
from mousterian.fitting.outliers import Outliers
from mousterian.fitting.surface import Array
from mousterian.fitting.table import Table


@dataclass(frozen=True)
class SurfaceFit:
    """One surface as fitted: its share in the average, criteria, errors (fractions) and parameters."""

    name: str
    weight: float
    aicc: float
    cv_rmse: float
    rmse: float
    parameters: dict[str, Interval]
    latex: str


def assemble(table: Table, name: str, bootstrap: int, seed: int) -> dict[str, Any]:
    """Fit one surface, or all ("auto"), and return the parts of a `Fit`."""
    every = tuple(surfaces.load(each) for each in surfaces.names())
    wanted = every if name == "auto" else (surfaces.load(name),)
    fits, outliers = engine.fit_all(wanted, every, table, draws=bootstrap, seed=seed)
    averaged = average(table, fits, bootstrap, seed)
    return {
        "data": _rows(table, averaged, outliers),
        "surfaces": tuple(_surface_fit(fit, table, ~outliers.flagged) for fit in fits),
        "components": {
            part: float(np.sqrt(getattr(fits[0].components, part)))
            for part in ("test_set", "seed", "subset", "trial")
        },
        "warnings": (*table.warnings, *_warnings(fits, table)),
        "averaged": averaged,
    }


def average(table: Table, fits: Sequence[Fitted], count: int, seed: int) -> Averaged:
    """Return the average; each draw belongs to one surface, as many to each as its weight says."""
    exact = np.array([fit.weight for fit in fits]) * count
    shares = np.floor(exact).astype(int)
    shares[np.argsort(-(exact - shares), kind="stable")[: count - shares.sum()]] += 1
    chosen = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(fits)), shares))
    members = tuple(
        Member(fit.surface, fit.weight, rounded_array(fit.theta), rounded_array(fit.draws[chosen == i]))
        for i, fit in enumerate(fits)
    )
    points = table.points
    real, syn = float((points.n_base + points.n_real_plus).max()), float(points.n_syn_plus.max())
    return Averaged(members, REACH * (syn or real), REACH * real)


def _rows(table: Table, averaged: Averaged, outliers: Outliers) -> pd.DataFrame:
    fitted = table.of_rows(averaged.estimate(table.points))
    return table.rows.assign(
        fitted=rounded_array(fitted),
        residual=rounded_array(table.accuracy - fitted),
        outlier=outliers.flagged,
        z=rounded_array(outliers.z),
        reason=list(outliers.reasons),
    )


def _surface_fit(fit: Fitted, table: Table, keep: Array) -> SurfaceFit:
    found = Interval.of_draws(fit.theta, fit.draws)
    return SurfaceFit(
        name=fit.surface.name,
        weight=fit.weight,
        aicc=fit.aicc,
        cv_rmse=fit.cv_rmse,
        rmse=float(np.sqrt(np.mean((table.accuracy - fit.values)[keep] ** 2))),
        parameters={
            name: Interval(*(float(part[i]) for part in (found.estimate, found.low, found.high)))
            for i, name in enumerate(fit.surface.parameters)
        },
        latex=fit.surface.latex,
    )


def _warnings(fits: Sequence[Fitted], table: Table) -> list[str]:
    best = fits[0]
    found = []
    if not math.isfinite(best.aicc):
        found.append(f"Too few rows ({len(table.rows)}) to weigh surfaces by how well they explain the data.")
    lacking = len(best.surface.parameters) - best.spent
    if lacking > 0:
        found.append(
            f"The table cannot tell apart {lacking} of the {len(best.surface.parameters)} parameters"
            f" of {best.surface.name}."
        )
    return found
