"""Profile likelihood: how far each parameter may go before the other ones cannot make up for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from mousterian.fitting.interval import LEVEL
from mousterian.fitting.least_squares import minimise
from mousterian.fitting.problem import Problem
from mousterian.fitting.surface import Array, Surface

# How far parameters are tried, in unknowns (so factors of e, or log odds), on each side of the best.
_TRIED = np.array([0.05, 0.15, 0.4, 1.0, 2.0, 4.0, 7.0])


@dataclass(frozen=True)
class Profile:
    """How far one parameter may go.

    Attributes:
        low, high: ends of its interval; the bound, or ±inf, where the loss never rises enough.
        told: whether the table tells the parameter: the loss rises on both sides, or it does on one and
            the other ends at a bound (0 for a factor: then the table cannot tell it from nothing).
    """

    low: float
    high: float
    told: bool


def profile(
    surface: Surface, problem: Problem, unknowns: Array, loss: float, spent: int
) -> dict[str, Profile]:
    """Return the profile of each parameter, all refits in one batch.

    Args:
        surface: which.
        problem: what it was fitted to.
        unknowns: the best ones, (P,).
        loss: at the best.
        spent: parameters that the table can tell apart.
    """
    count = len(unknowns)
    sides = np.concatenate([-_TRIED[::-1], _TRIED])
    fixed = np.repeat(np.arange(count), len(sides))
    # A parameter without bounds has no scale of its own: steps are shares of its size.
    free = ~np.isfinite(surface.bounds).any(axis=1)
    step = np.where(free, np.maximum(np.abs(unknowns), 1e-6), 1.0)
    start = np.repeat(unknowns[None], len(fixed), axis=0)
    start[np.arange(len(fixed)), fixed] += np.tile(sides, count) * step[fixed]
    held = np.zeros(start.shape, dtype=bool)
    held[np.arange(len(fixed)), fixed] = True
    model = surface.model(problem.points)
    found = minimise(
        model,
        problem.target,
        problem.weights,
        start,
        held=held,
        limits=surface.limits,
        iterations=25,
        tolerance=1e-5,
    )
    rise = found.loss + problem.scattered - loss
    freedom = max(int(problem.keep.sum()) - spent, 1)
    allowed = float(stdtrit(freedom, (1 + LEVEL) / 2)) ** 2 * loss / freedom
    return {
        name: _ends(surface, start[fixed == i, i], unknowns[i], rise[fixed == i] > allowed, i)
        for i, name in enumerate(surface.parameters)
    }


def _ends(surface: Surface, tried: Array, best: float, over: Array, index: int) -> Profile:
    """Return one parameter's profile from the unknowns tried, in order, and where the loss was too much."""
    low, high = (float(end) for end in surface.bounds[index])
    below, above = over & (tried < best), over & (tried > best)
    at_low, at_high = below.any(), above.any()
    # A factor that may be nothing, or a share that may be all, ends at its bound; that is told all the same.
    told = (at_low and at_high) or (at_high and np.isfinite(low)) or (at_low and np.isfinite(high))
    unknown = np.zeros((2, len(surface.parameters)))
    unknown[:, index] = (tried[below].max(initial=-np.inf), tried[above].min(initial=np.inf))
    ends = surface.bounded(unknown)[:, index]
    return Profile(float(ends[0]) if at_low else low, float(ends[1]) if at_high else high, bool(told))
