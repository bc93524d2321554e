"""Which parameters the rows identify, by the profile likelihood of each."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from mousterian.fitting.interval import LEVEL
from mousterian.fitting.least_squares import minimise
from mousterian.fitting.problem import Fitted, Problem

# Steps on each side of the best, in unknowns (so factors of e, or log odds).
_TRIED = np.array([0.05, 0.15, 0.4, 1.0, 2.0, 4.0, 7.0])


def unidentified_parameters(fit: Fitted, problem: Problem) -> tuple[str, ...]:
    """Return the parameters of a fit of the problem that its rows do not identify, refits in one batch.

    The loss of an identified parameter rises on both sides of the best value, or on one while the other ends
    at a bound (0 for a factor, which is then indistinguishable from zero).
    """
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
    below, above = np.asarray((rise > allowed).reshape(count, 2, -1).any(axis=2)).T
    # A factor that may be 0, or a share that may be 1, ends at its bound and is still identified.
    low, high = np.isfinite(surface.bounds).T
    identified = (below & above) | (above & low) | (below & high)
    return tuple(name for name, known in zip(surface.parameters, identified, strict=True) if not known)
