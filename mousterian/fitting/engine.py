"""Fit every surface from several starts, set outliers aside, and refit to bootstrap draws."""

from __future__ import annotations

import dataclasses

import numpy as np

from mousterian.fitting import selection, variance
from mousterian.fitting.least_squares import minimise
from mousterian.fitting.outliers import Outliers, find, residual_scale
from mousterian.fitting.problem import Fitted, Information, Problem, stratified
from mousterian.fitting.surface import Array, Points, Surface
from mousterian.fitting.table import Table

_STARTS, _ROBUST_STARTS, _PLAIN_STARTS = 8, 3, 5
# AICc difference beyond which a surface has no weight and is not polished further.
_AICC_CUTOFF = 60.0
# Random subsets of the rows that each start is fitted to first, and the share of rows in a subset.
_SUBSETS, _SUBSET_SHARE = 4, 0.7
_DRAW_STEPS = 15
# Rows that robust fits rest on at most.
_ROBUST_ROWS = 2000


def robust(surface: Surface, table: Table) -> Array:
    """Return outlier-robust unknowns (S, P), best first.

    Each start is first fitted to a random subset of the rows, so that some begin free of outliers. Of many
    rows a sample serves: what starts from here uses all of them.
    """
    table = _sample(table)
    points, target = table.points.part(table.at), table.accuracy[table.row]
    given = table.rows["weight"].to_numpy(dtype=float)
    weights = (given / given.mean())[table.row] * table.share
    model = surface.model(points)
    guesses = surface.starts(points, target, weights, _STARTS)
    unknowns = np.tile(guesses, (_SUBSETS, 1))
    subsets = np.random.default_rng(0).random((len(unknowns), len(given))) < _SUBSET_SHARE
    subsets[: len(guesses)] = True
    subset_weights = weights * subsets[:, table.row]
    unknowns = minimise(
        model, target, subset_weights, unknowns, limits=surface.limits, iterations=12, tolerance=1e-4
    ).unknowns
    for steps in (6, 6, 12):
        scales = _scales(surface, table, unknowns)
        best = np.argsort(scales, kind="stable")[:_STARTS]
        unknowns = minimise(
            model,
            target,
            weights,
            unknowns[best],
            limits=surface.limits,
            scale=scales[best],
            iterations=steps,
        ).unknowns
    return unknowns[np.argsort(_scales(surface, table, unknowns), kind="stable")[:_ROBUST_STARTS]]


def _sample(table: Table) -> Table:
    """Return the table of `_ROBUST_ROWS` of its rows, or the table itself where it has no more."""
    rows = stratified(len(table.rows), _ROBUST_ROWS)
    number = np.full(len(table.rows), -1)
    number[rows] = np.arange(len(rows))
    used = number[table.row] >= 0
    points, at = np.unique(table.at[used], return_inverse=True)
    return dataclasses.replace(
        table,
        rows=table.rows.iloc[rows].reset_index(drop=True),
        points=table.points.part(points),
        row=number[table.row][used],
        at=at,
        share=table.share[used],
        sampling=None,
    )


def _scales(surface: Surface, table: Table, unknowns: Array) -> Array:
    """Return the robust scale of the residuals of each of the unknowns (S, P), (S,)."""
    values = table.of_rows(surface.accuracy(table.points, surface.bounded(unknowns)))
    return residual_scale(table.accuracy - values, len(surface.parameters))


def plain(surface: Surface, problem: Problem) -> Array:
    """Return unknowns (S, P) to start from, guessed from the rows that are not set aside."""
    used = problem.weights > 0
    points = Points(*(count[used] for count in problem.points.counts))
    return surface.starts(points, problem.target[used], problem.weights[used], _PLAIN_STARTS)


def refit(
    surface: Surface, problem: Problem, starts: Array, iterations: int, tolerance: float
) -> tuple[Array, float]:
    """Return the best unknowns (P,) from the starts (S, P), and their loss."""
    model = surface.model(problem.points)
    found = minimise(
        model,
        problem.target,
        problem.weights,
        starts,
        limits=surface.limits,
        iterations=iterations,
        tolerance=tolerance,
    )
    best = int(np.argmin(found.loss))
    return found.unknowns[best], float(found.loss[best]) + problem.pure_error


def information(surface: Surface, problem: Problem, unknowns: Array) -> Information:
    """Linearise a surface at its best unknowns."""
    table = problem.table
    _, jacobian = surface.model(table.points)(unknowns[None])
    weighted = jacobian[0][:, table.at] * np.sqrt(problem.row_weights[table.row] * table.share)
    size = np.sqrt((weighted**2).sum(axis=1))
    used = size > 1e-9
    rows, count = len(table.rows), len(unknowns)
    errors, correlation = np.full(count, np.inf), np.eye(count)
    if not used.any():
        return Information(np.zeros((0, rows)), np.zeros(rows), 0, errors, correlation)
    left, singular, right = np.linalg.svd(weighted[used] / size[used, None], full_matrices=False)
    identified = singular > 1e-6 * singular[0]
    leverage = np.bincount(table.row, (right[identified] ** 2).sum(axis=0), minlength=rows)
    basis = np.zeros((int(identified.sum()), rows))
    np.add.at(basis.T, table.row, right[identified].T * np.sqrt(table.share)[:, None])
    inverse = left / np.maximum(singular, 1e-12)
    length = np.sqrt((inverse**2).sum(axis=1))
    errors[used] = length / size[used]
    correlation[np.ix_(used, used)] = inverse @ inverse.T / np.outer(length, length)
    return Information(basis, leverage, int(identified.sum()), errors, correlation)


def draw(fit: Fitted, problem: Problem, scatter: variance.Scatter, count: int, seed: int) -> Array:
    """Return parameters (count, P) refitted to bootstrap accuracies, started from the best ones."""
    found = minimise(
        fit.surface.model(problem.points),
        scatter.draws(problem, fit.values, count, np.random.default_rng(seed)),
        problem.weights,
        np.repeat(fit.unknowns[None], count, axis=0),
        limits=fit.surface.limits,
        iterations=_DRAW_STEPS,
        tolerance=1e-6,
    )
    return fit.surface.bounded(found.unknowns)


def fit_all(
    surfaces: tuple[Surface, ...], every: tuple[Surface, ...], table: Table
) -> tuple[tuple[Fitted, ...], Problem, Outliers]:
    """Fit the surfaces and weight them.

    Args:
        surfaces: those to fit.
        every: all installed surfaces; a row that one of them explains is no outlier.
        table: the checked table.

    Returns:
        The fits, heaviest first; the problem that they solve; and the outliers.
    """
    known = {surface.name: surface for surface in (*surfaces, *every)}
    tried = {name: (surface, robust(surface, table)) for name, surface in known.items()}
    outliers = find(table, [(surface, unknowns[0]) for surface, unknowns in tried.values()])
    starts = [tried[surface.name][1] for surface in surfaces]
    keep = ~outliers.flagged
    given = table.rows["weight"].to_numpy(dtype=float)
    problem = Problem.of(table, np.where(keep, given, 0.0) / given[keep].mean(), keep)
    first = [
        refit(each, problem, np.vstack([start, plain(each, problem)]), 40, 1e-6)
        for each, start in zip(surfaces, starts, strict=True)
    ]
    best = int(np.argmin([loss for _, loss in first]))
    surface, unknowns = surfaces[best], first[best][0]
    effective = information(surface, problem, unknowns).effective_parameters
    values = table.of_rows(surface.accuracy(table.points, surface.bounded(unknowns)))
    problem = Problem.of(table, variance.row_weights(table, table.accuracy - values, keep, effective), keep)
    # A surface that fits far worse than the best has no weight, however many more steps it gets.
    cutoff = first[best][1] * np.exp(_AICC_CUTOFF / len(table.rows))
    fits = [
        _fitted(surface, problem, unknowns[None], 80 if loss < cutoff else 5)
        for surface, (unknowns, loss) in zip(surfaces, first, strict=True)
    ]
    return selection.weighted(fits, problem.points), problem, outliers


def _fitted(surface: Surface, problem: Problem, starts: Array, iterations: int) -> Fitted:
    table = problem.table
    unknowns, loss = refit(surface, problem, starts, iterations, 1e-10)
    theta = surface.bounded(unknowns)
    found = information(surface, problem, unknowns)
    count, effective = int(problem.keep.sum()), found.effective_parameters
    return Fitted(
        surface=surface,
        unknowns=unknowns,
        theta=theta,
        values=table.of_rows(surface.accuracy(table.points, theta)),
        loss=loss,
        information=found,
        standard_errors=found.standard_errors * np.sqrt(max(loss, 1e-12) / max(count - effective, 1)),
        aicc=selection.aicc(loss, count, effective),
        cv_rmse=selection.cross_validate(surface, problem, unknowns),
        extrapolation_error=selection.held_out_errors(surface, problem, unknowns, problem.backtest[0]),
        weight=0.0,
    )
