"""Levenberg-Marquardt for many small problems at once: all starts and all bootstrap draws in one batch.

Convergence is judged on the summed loss of each problem; a mean would stop early on long tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
# Unknowns (B, P) -> values (B, M) and their derivatives (B, P, M).
Model = Callable[[Array], tuple[Array, Array]]
# Tuning constant of the Cauchy loss (95 % efficiency for normal errors).
CAUCHY = 2.385
# Derivatives of a batch; more problems are solved in several, which the cache holds.
_BLOCK = 1 << 19


@dataclass(frozen=True)
class Solution:
    """Solutions of B problems: unknowns (B, P), summed loss (B,), and whether each converged (B,)."""

    unknowns: Array
    loss: Array
    converged: Array


@dataclass
class _State:
    """The current iterate of each problem in a batch."""

    unknowns: Array
    loss: Array
    normal: Array
    gradient: Array


@dataclass(frozen=True)
class _Task:
    """Data of the problems in a batch, and which of their unknowns are held fixed."""

    model: Model
    target: Array
    weights: Array
    scale: Array | None
    held: Array | None
    limits: Array | None

    def part(self, rows: Array) -> _Task:
        if len(rows) == len(self.target):
            return self
        scale = None if self.scale is None else self.scale[rows]
        held = None if self.held is None else self.held[rows]
        return _Task(self.model, self.target[rows], self.weights[rows], scale, held, self.limits)


def _evaluate(task: _Task, unknowns: Array) -> _State:
    """Return loss, normal matrix and gradient; with a scale, of Cauchy's loss (iteratively reweighted)."""
    weights, scale = task.weights, task.scale
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values, jacobian = task.model(unknowns)
        if task.held is not None:
            jacobian = np.where(task.held[:, :, None], 0.0, jacobian)
        residual = task.target - values
        if scale is None:
            weighted_residual = weights * residual
            loss = np.einsum("bm,bm->b", weighted_residual, residual)
            weighted = jacobian * weights[:, None, :]
        else:
            bend = (CAUCHY * scale) ** 2
            relative = residual**2 / bend[:, None]
            loss = bend * np.einsum("bm,bm->b", weights, np.log1p(relative))
            soft = weights / (1.0 + relative)
            weighted_residual = soft * residual
            weighted = jacobian * soft[:, None, :]
        normal = weighted @ jacobian.transpose(0, 2, 1)
        gradient = np.einsum("bpm,bm->bp", jacobian, weighted_residual)
    finite = np.isfinite(loss) & np.isfinite(normal).all((1, 2)) & np.isfinite(gradient).all(1)
    return _State(unknowns, np.where(finite, loss, np.inf), normal, gradient)


def _step(normal: Array, gradient: Array, diagonal: Array, damping: Array) -> Array:
    """Solve the damped normal equations of each problem, scaled to unit diagonal."""
    unit = 1.0 / np.sqrt(diagonal)
    matrix = normal * unit[:, :, None] * unit[:, None, :]
    index = np.arange(matrix.shape[1])
    matrix[:, index, index] += damping[:, None] + 1e-14
    step: Array = np.linalg.solve(matrix, (gradient * unit)[:, :, None])[:, :, 0] * unit
    return step


@dataclass
class _Search:
    """State of the search: the best iterates, and the damping of each problem."""

    best: _State
    damping: Array
    growth: Array
    diagonal: Array

    def advance(self, task: _Task, active: Array, tolerance: float) -> Array:
        """Try one step of each active problem; return which of those have finished."""
        best = self.best
        normal, gradient = best.normal[active], best.gradient[active]
        # Moré's scaling never shrinks, so that flat directions are not followed to infinity.
        self.diagonal[active] = np.maximum(self.diagonal[active], np.einsum("bpp->bp", normal))
        step = _step(normal, gradient, self.diagonal[active], self.damping[active])
        expected = np.einsum("bp,bp->b", step, 2 * gradient - np.einsum("bpq,bq->bp", normal, step))
        moved = best.unknowns[active] + step
        trial = _evaluate(task.part(active), moved if task.limits is None else np.clip(moved, *task.limits))
        gain = best.loss[active] - trial.loss
        accepted = gain > 0
        for name in ("unknowns", "loss", "normal", "gradient"):
            getattr(best, name)[active[accepted]] = getattr(trial, name)[accepted]
        self._damp(active, accepted, gain, expected)
        small = np.maximum(expected, np.where(accepted, gain, 0.0)) <= tolerance * best.loss[active] + 1e-300
        done: Array = (small & (self.damping[active] < 1e3)) | (self.damping[active] > 1e12)
        return done

    def _damp(self, active: Array, accepted: Array, gain: Array, expected: Array) -> None:
        """Update damping by Nielsen's rule, from the ratio of actual to predicted gain."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(np.isfinite(gain), gain / np.maximum(expected, 1e-300), -1.0)
        shrink = np.maximum(1 / 3, 1 - (2 * np.clip(ratio, -1, 1) - 1) ** 3)
        damping, growth = self.damping[active], self.growth[active]
        self.damping[active] = np.where(accepted, damping * shrink, damping * growth)
        self.growth[active] = np.where(accepted, 2.0, growth * 2.0)


def minimise(
    model: Model, target: Array, weights: Array, start: Array,
    *, scale: Array | None = None, held: Array | None = None, limits: Array | None = None,
    iterations: int = 100, tolerance: float = 1e-10,
) -> Solution:  # fmt: skip
    """Minimise Σ weights·(target − model)² of each problem (or its Cauchy loss) from its start.

    Args:
        model: unknowns (B, P) -> values (B, M) and derivatives (B, P, M); called with any subset of problems.
        target: what to fit, (B, M) or (M,).
        weights: of each row, (B, M) or (M,); not negative.
        start: unknowns to begin from, (B, P).
        scale: residual scale of each problem, (B,); if given, the loss is Cauchy's.
        held: unknowns held at their starting values, (B, P) bool.
        limits: least and largest value of each unknown, (2, P).
        iterations: most steps tried.
        tolerance: a problem has converged when its predicted relative decrease in loss is below this.
    """
    count, size = start.shape[0], target.shape[-1]
    target, weights = np.broadcast_to(target, (count, size)), np.broadcast_to(weights, (count, size))
    whole = _Task(model, target, weights, scale, held, limits)
    block = max(_BLOCK // (start.shape[1] * size), 1)
    parts = [np.arange(first, min(first + block, count)) for first in range(0, max(count, 1), block)]
    found = [_solved(whole.part(part), start[part], iterations, tolerance) for part in parts]
    return Solution(*(np.concatenate(each) for each in zip(*found, strict=True)))


def _solved(task: _Task, start: Array, iterations: int, tolerance: float) -> tuple[Array, Array, Array]:
    """Return the parts of the solution of one batch."""
    count = len(start)
    search = _Search(
        _evaluate(task, start.copy()), np.full(count, 1e-3), np.full(count, 2.0), np.full(start.shape, 1e-30)
    )
    converged = np.zeros(count, dtype=bool)
    active = np.flatnonzero(np.isfinite(search.best.loss))
    for _ in range(iterations):
        if not active.size:
            break
        done = search.advance(task, active, tolerance)
        converged[active[done]] = True
        active = active[~done]
    return search.best.unknowns, search.best.loss, converged
