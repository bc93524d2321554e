"""Which surfaces explain the data about equally well: criteria, held-out error, weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mousterian.fitting.least_squares import minimise
from mousterian.fitting.surface import Array, Points, Surface

if TYPE_CHECKING:
    from mousterian.fitting.problem import Fitted, Problem


# Residuals below this are rounding, not evidence for a surface.
_LEAST_VARIANCE = 1e-10
# Accuracies that differ by less are the same.
_ALIKE = 1e-4


def aicc(loss: float, count: int, spent: int) -> float:
    """Return Akaike's criterion of a least-squares fit, corrected for few rows; inf if there are too few."""
    parameters = spent + 1
    if count - parameters - 1 <= 0:
        return math.inf
    likelihood = count * math.log(max(loss / count, _LEAST_VARIANCE))
    return likelihood + 2 * parameters * count / (count - parameters - 1)


def left_out(surface: Surface, problem: Problem, unknowns: Array, out: Array) -> Array:
    """Return root mean square errors (fractions) at what is left out, (C,), for C sets of rows (C, R) bool.

    Errors are those of the cells' means: how trials scatter within a cell says nothing against a surface.
    NaN where what is left does not hold as many points as the surface has parameters, and one more.
    """
    table = problem.table
    weights, targets = problem.without(out)
    found = minimise(
        surface.model(problem.points),
        targets,
        weights,
        np.repeat(unknowns[None], len(out), axis=0),
        limits=surface.limits,
        iterations=15,
        tolerance=1e-4,
    )
    values = table.of_rows(surface.accuracy(table.points, surface.bounded(found.unknowns)))
    members = np.equal.outer(np.arange(table.cell.max() + 1), table.cell).astype(float)
    counts = out @ members.T
    means = np.where(out, table.accuracy - values, 0.0) @ members.T / np.maximum(counts, 1)
    square = (counts * means**2).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
    enough = ((weights > 0).sum(axis=1) > len(surface.parameters)) & out.any(axis=1)
    return np.where(enough, np.sqrt(square), np.nan)


def cross_validate(surface: Surface, problem: Problem, unknowns: Array) -> float:
    """Return the root mean square error at cells left out one at a time (a fraction)."""
    out = problem.each_cell()
    errors = left_out(surface, problem, unknowns, out)
    told = np.isfinite(errors)
    if not told.any():
        return math.nan
    return float(np.sqrt(np.average(errors[told] ** 2, weights=out.sum(axis=1)[told])))


def weighed(fits: Sequence[Fitted], points: Points) -> tuple[Fitted, ...]:
    """Return the fits with their Akaike weights, heaviest first; a referee has none beside others.

    Args:
        fits: of one problem.
        points: where that was measured.
    """
    alone = all(fit.surface.referee for fit in fits)
    criteria = np.array([fit.aicc if alone or not fit.surface.referee else math.inf for fit in fits])
    if not np.isfinite(criteria).any():
        criteria = np.where([fit.surface.referee and not alone for fit in fits], math.inf, _of_few(fits))
    criteria = np.where(_repeated(fits, criteria, points), math.inf, criteria)
    weights = np.exp(-(criteria - criteria[np.isfinite(criteria)].min()) / 2)
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")
    return tuple(dataclasses.replace(fits[i], weight=float(weights[i])) for i in order)


def _of_few(fits: Sequence[Fitted]) -> Array:
    """Return criteria where rows are too few for the corrected one: Akaike's own, or all alike."""
    count = len(fits[0].values)
    plain = [
        count * math.log(max(fit.loss / count, _LEAST_VARIANCE)) + 2 * fit.told.spent
        if fit.told.spent <= count - 2
        else math.inf
        for fit in fits
    ]
    return np.array(plain) if np.isfinite(plain).any() else np.zeros(len(fits))


def _repeated(fits: Sequence[Fitted], criteria: Array, points: Points) -> Array:
    """Return which fits say what one with fewer parameters says already, (S,) bool.

    Without synthetic images, for one, all power laws in effective data are the same curve, and count once.
    They have to agree at half and double the sizes too: surfaces that go through the same few rows may part
    everywhere else.
    """
    elsewhere = [Points(*(factor * count for count in points.counts)) for factor in (0.5, 2.0)]
    told = [
        np.concatenate([fit.values, *(fit.surface.accuracy(each, fit.theta) for each in elsewhere)])
        for fit in fits
    ]
    order = sorted(range(len(fits)), key=lambda i: (len(fits[i].surface.parameters), fits[i].surface.name))
    repeated = np.zeros(len(fits), dtype=bool)
    seen: list[int] = []
    for i in order:
        repeated[i] = any(
            fits[i].told.spent == fits[j].told.spent and np.allclose(told[i], told[j], atol=_ALIKE, rtol=0.0)
            for j in seen
        )
        if not repeated[i] and np.isfinite(criteria[i]):
            seen.append(i)
    return repeated
