"""Profile likelihood of each parameter: its interval, and whether it is identifiable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from mousterian.fitting.interval import LEVEL
from mousterian.fitting.least_squares import minimise
from mousterian.fitting.problem import Fitted, Problem
from mousterian.fitting.surface import Array, Surface

# Steps on each side of the best, in unknowns (so factors of e, or log odds).
_TRIED = np.array([0.05, 0.15, 0.4, 1.0, 2.0, 4.0, 7.0])


@dataclass(frozen=True)
class Profile:
    """Profile of one parameter.

    Attributes:
        low, high: ends of its interval; the bound, or ±inf, where the loss never rises enough.
        identified: whether the loss rises on both sides, or on one while the other ends at a bound (0 for a
            factor, which is then not distinguishable from zero).
    """

    low: float
    high: float
    identified: bool


def profile(fit: Fitted, problem: Problem) -> dict[str, Profile]:
    """Return the profile of each parameter of a fit of the problem, all refits in one batch."""
    surface, unknowns = fit.surface, fit.unknowns
    count = len(unknowns)
    sides = np.concatenate([-_TRIED[::-1], _TRIED])
    fixed = np.repeat(np.arange(count), len(sides))
    # A parameter without bounds has no natural scale: steps are relative to its size.
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
    rise = found.loss + problem.pure_error - fit.loss
    freedom = max(int(problem.keep.sum()) - fit.information.effective_parameters, 1)
    allowed = float(stdtrit(freedom, (1 + LEVEL) / 2)) ** 2 * fit.loss / freedom
    return {
        name: _ends(surface, start[fixed == i, i], unknowns[i], rise[fixed == i] > allowed, i)
        for i, name in enumerate(surface.parameters)
    }


def _ends(surface: Surface, tried: Array, best: float, over: Array, index: int) -> Profile:
    """Return one parameter's profile from the unknowns tried, in order, and where the loss is too large."""
    low, high = (float(end) for end in surface.bounds[index])
    below, above = over & (tried < best), over & (tried > best)
    at_low, at_high = below.any(), above.any()
    # A factor that may be 0, or a share that may be 1, ends at its bound and is still identified.
    identified = (at_low and at_high) or (at_high and np.isfinite(low)) or (at_low and np.isfinite(high))
    unknown = np.zeros((2, len(surface.parameters)))
    unknown[:, index] = (tried[below].max(initial=-np.inf), tried[above].min(initial=np.inf))
    ends = surface.bounded(unknown)[:, index]
    return Profile(float(ends[0]) if at_low else low, float(ends[1]) if at_high else high, bool(identified))
