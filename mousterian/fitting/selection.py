"""Model selection: AICc, cross-validation and back-test errors, Akaike weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mousterian.fitting.least_squares import minimise
from mousterian.fitting.population import indicator
from mousterian.fitting.surface import Array, Points, Sparse, Surface

if TYPE_CHECKING:
    from mousterian.fitting.problem import Fitted, Problem


# Residual variances below this are rounding, not evidence for a surface.
_LEAST_VARIANCE = 1e-10
# Accuracies that differ by less count as equal.
_EQUAL = 1e-4


def aicc(loss: float, count: int, effective_parameters: int) -> float:
    """Return the corrected Akaike criterion of a least-squares fit; inf if there are too few rows."""
    parameters = effective_parameters + 1
    if count - parameters - 1 <= 0:
        return math.inf
    likelihood = count * math.log(max(loss / count, _LEAST_VARIANCE))
    return likelihood + 2 * parameters * count / (count - parameters - 1)


def held_out_errors(surface: Surface, problem: Problem, unknowns: Array, out: Sparse) -> Array:
    """Return root mean square errors (fractions), (H,), at H sets of held-out rows, (H, R), ones and zeros.

    Errors are those of the cells' means: scatter within a cell is no evidence against a surface.
    NaN where the remaining points do not outnumber the surface's parameters.
    """
    table = problem.table
    weights, targets = problem.without(out)
    found = minimise(
        surface.model(problem.points),
        targets,
        weights,
        np.repeat(unknowns[None], out.shape[0], axis=0),
        limits=surface.limits,
        iterations=15,
        tolerance=1e-4,
    )
    values = table.of_cells(surface.accuracy(table.points, surface.bounded(found.unknowns)))
    members = indicator(table.cell)
    counts, sums = ((rows @ members).toarray() for rows in (out, out.multiply(table.accuracy)))
    means = sums / np.maximum(counts, 1) - np.where(counts > 0, values, 0.0)
    square = (counts * means**2).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
    enough = ((weights > 0).sum(axis=1) > len(surface.parameters)) & counts.any(axis=1)
    return np.where(enough, np.sqrt(square), np.nan)


def cross_validate(surface: Surface, problem: Problem, unknowns: Array) -> float:
    """Return the leave-one-cell-out root mean square error (a fraction), over a sample of many cells."""
    out = problem.each_cell()
    errors = held_out_errors(surface, problem, unknowns, out)
    known = np.isfinite(errors)
    if not known.any():
        return math.nan
    return float(np.sqrt(np.average(errors[known] ** 2, weights=out.sum(axis=1)[known])))


def weighted(fits: Sequence[Fitted], points: Points) -> tuple[Fitted, ...]:
    """Return the fits with their Akaike weights, heaviest first.

    The nonparametric baseline has weight only if no parametric surface was fitted.

    Args:
        fits: of one problem.
        points: its measured points.
    """
    alone = all(fit.surface.nonparametric for fit in fits)
    excluded = np.array([fit.surface.nonparametric and not alone for fit in fits])
    criteria = np.where(excluded, math.inf, [fit.aicc for fit in fits])
    if not np.isfinite(criteria).any():
        criteria = np.where(excluded, math.inf, _small_sample_criteria(fits))
    criteria = np.where(_redundant(fits, criteria, points), math.inf, criteria)
    weights = np.exp(-(criteria - criteria[np.isfinite(criteria)].min()) / 2)
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")
    return tuple(dataclasses.replace(fits[i], weight=float(weights[i])) for i in order)


def _small_sample_criteria(fits: Sequence[Fitted]) -> Array:
    """Return criteria where there are too few rows for AICc: AIC, or all equal."""
    count = len(fits[0].values)
    plain = [
        count * math.log(max(fit.loss / count, _LEAST_VARIANCE)) + 2 * fit.information.effective_parameters
        if fit.information.effective_parameters <= count - 2
        else math.inf
        for fit in fits
    ]
    return np.array(plain) if np.isfinite(plain).any() else np.zeros(len(fits))


def _redundant(fits: Sequence[Fitted], criteria: Array, points: Points) -> Array:
    """Return which fits equal one with fewer parameters, (S,) bool.

    Without synthetic images, for example, all power laws in effective data are one curve, which counts once.
    Fits must also agree at half and double the sizes: surfaces may coincide at a few rows alone.
    """
    elsewhere = [Points(*(factor * count for count in points.counts)) for factor in (0.5, 2.0)]
    curves = [
        np.concatenate([fit.values, *(fit.surface.accuracy(each, fit.theta) for each in elsewhere)])
        for fit in fits
    ]
    order = sorted(range(len(fits)), key=lambda i: (len(fits[i].surface.parameters), fits[i].surface.name))
    redundant = np.zeros(len(fits), dtype=bool)
    distinct: list[int] = []
    for i in order:
        redundant[i] = any(
            fits[i].information.effective_parameters == fits[j].information.effective_parameters
            and np.allclose(curves[i], curves[j], atol=_EQUAL, rtol=0.0)
            for j in distinct
        )
        if not redundant[i] and np.isfinite(criteria[i]):
            distinct.append(i)
    return redundant
