"""The engine: every surface fitted to a table from several starts, outliers set aside, and drawn again."""

from __future__ import annotations

import numpy as np

from mousterian.fitting import selection, variance
from mousterian.fitting.least_squares import minimise
from mousterian.fitting.outliers import Outliers, find, residual_scale
from mousterian.fitting.problem import Fitted, Information, Problem
from mousterian.fitting.surface import Array, Points, Surface
from mousterian.fitting.table import Table

_STARTS, _ROBUST_STARTS, _PLAIN_STARTS = 8, 3, 5
# Difference in Akaike's criterion past which a surface is out of the question.
_HOPELESS = 60.0
# Random parts of the rows that each start is fitted to first, and the share of rows in a part.
_PARTS, _PART = 4, 0.7
_DRAW_STEPS = 15


def robust(surface: Surface, table: Table) -> tuple[Array, float]:
    """Return unknowns (S, P), best first, that outliers do not bend, and the scale of usual residuals.

    Each start is first fitted to a random part of the rows, so that some begin free of outliers.
    """
    points, target = table.points, table.accuracy[table.row]
    given = table.rows["weight"].to_numpy(dtype=float)
    weights = (given / given.mean())[table.row] * table.share
    model, spent = surface.model(points), len(surface.parameters)
    guesses = surface.starts(points, target, weights, _STARTS)
    unknowns = np.tile(guesses, (_PARTS, 1))
    parts = np.random.default_rng(0).random((len(unknowns), len(given))) < _PART
    parts[: len(guesses)] = True
    part_weights = weights * parts[:, table.row]
    unknowns = minimise(
        model, target, part_weights, unknowns, limits=surface.limits, iterations=12, tolerance=1e-4
    ).unknowns
    for steps in (6, 6, 12):
        values = surface.accuracy(points, surface.bounded(unknowns))
        scales = residual_scale(table.of_rows(target - values), spent)
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
    values = surface.accuracy(points, surface.bounded(unknowns))
    scales = residual_scale(table.of_rows(target - values), spent)
    order = np.argsort(scales, kind="stable")[:_ROBUST_STARTS]
    return unknowns[order], float(scales[order[0]])


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
    return found.unknowns[best], float(found.loss[best]) + problem.scattered


def information(surface: Surface, problem: Problem, unknowns: Array) -> Information:
    """Return what the table tells at a fit."""
    table = problem.table
    _, jacobian = surface.model(table.points)(unknowns[None])
    weighted = jacobian[0] * np.sqrt(problem.row_weights[table.row] * table.share)
    size = np.sqrt((weighted**2).sum(axis=1))
    used = size > 1e-9
    rows, count = len(table.rows), len(unknowns)
    spread, correlation = np.full(count, np.inf), np.eye(count)
    if not used.any():
        return Information(np.zeros((0, rows)), np.zeros(rows), 0, spread, correlation)
    left, singular, right = np.linalg.svd(weighted[used] / size[used, None], full_matrices=False)
    told = singular > 1e-6 * singular[0]
    leverage = np.bincount(table.row, (right[told] ** 2).sum(axis=0), minlength=rows)
    basis = np.zeros((int(told.sum()), rows))
    np.add.at(basis.T, table.row, right[told].T * np.sqrt(table.share)[:, None])
    inverse = left / np.maximum(singular, 1e-12)
    length = np.sqrt((inverse**2).sum(axis=1))
    spread[used] = length / size[used]
    correlation[np.ix_(used, used)] = inverse @ inverse.T / np.outer(length, length)
    return Information(basis, leverage, int(told.sum()), spread, correlation)


def draw(fit: Fitted, problem: Problem, scatter: variance.Scatter, count: int, seed: int) -> Array:
    """Return parameters (count, P) refitted to accuracies drawn anew, warm from the best ones."""
    accuracies = scatter.draws(fit.values, count, np.random.default_rng(seed))
    found = minimise(
        fit.surface.model(problem.points),
        accuracies @ problem.gathering.T,
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
    """Fit the surfaces and weigh them.

    Args:
        surfaces: which to fit.
        every: all surfaces there are; a row that one of them explains is no outlier.
        table: the checked table.

    Returns:
        The fits, heaviest first; the problem they solve; and the rows set aside.
    """
    known = {surface.name: surface for surface in (*surfaces, *every)}
    tried = {name: (surface, *robust(surface, table)) for name, surface in known.items()}
    outliers = find(table, [(surface, unknowns[0], scale) for surface, unknowns, scale in tried.values()])
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
    spent = information(surface, problem, unknowns).spent
    values = table.of_rows(surface.accuracy(table.points, surface.bounded(unknowns)))
    problem = Problem.of(table, variance.row_weights(table, table.accuracy - values, keep, spent), keep)
    # A surface that explains the rows far worse than another has no weight, however well it is polished.
    hopeless = first[best][1] * np.exp(_HOPELESS / len(table.rows))
    fits = [
        _fitted(surface, problem, unknowns[None], 80 if loss < hopeless else 5)
        for surface, (unknowns, loss) in zip(surfaces, first, strict=True)
    ]
    return selection.weighed(fits, problem.points), problem, outliers


def _fitted(surface: Surface, problem: Problem, starts: Array, iterations: int) -> Fitted:
    table = problem.table
    unknowns, loss = refit(surface, problem, starts, iterations, 1e-10)
    theta = surface.bounded(unknowns)
    told = information(surface, problem, unknowns)
    freedom = max(int(problem.keep.sum()) - told.spent, 1)
    return Fitted(
        surface=surface,
        unknowns=unknowns,
        theta=theta,
        values=table.of_rows(surface.accuracy(table.points, theta)),
        loss=loss,
        told=told,
        spread=told.spread * np.sqrt(max(loss, 1e-12) / freedom),
        aicc=selection.aicc(loss, int(problem.keep.sum()), told.spent),
        cv_rmse=selection.cross_validate(surface, problem, unknowns),
        foretold=selection.left_out(surface, problem, unknowns, problem.largest[0]),
        weight=0.0,
    )
