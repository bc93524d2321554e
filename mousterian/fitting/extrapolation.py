"""Past the measured range: what surfaces have shown they can foretell, and what they have not.

Inside the range surfaces that explain the data alike say the same. Beyond it they part, and being right
inside counts for little. So each surface is tested by leaving out the largest real sizes and the largest
synthetic amounts; surfaces then share what lies beyond by how well they foretold those, and intervals widen
with the distance at the rate of those errors. The constants are calibrated on 900 learning curves of LCDB
1.0 (predictions at four times the largest size) and tested on others; see benchmarks/RESULTS.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mousterian.fitting.measured_range import MeasuredRange
from mousterian.fitting.surface import Array, Points, Surface

# Error at the distance of ln 4 that every surface is granted, as a share of the range of accuracies.
_GRANTED = 0.03
# Errors smaller than rounding tell surfaces not apart.
_LEAST_SQUARE = 1e-10
# Surfaces with less of a share than this have none.
_LEAST_SHARE = 0.01
# Degrees of freedom of the errors beyond: heavy tails, as surprises are.
FREEDOM = 3


@dataclass(frozen=True)
class Extrapolation:
    """What counts past the measured range.

    Attributes:
        measured: the range.
        surfaces: those that say what lies beyond, S of them.
        thetas: their best parameters.
        weights: their shares, (S,).
        slopes: standard error per unit of logarithmic distance, in real and in synthetic images, (S, 2).
        choice: which of them each draw follows, (D,).
        shocks: errors of each draw, in standard errors, (D, 2).
    """

    measured: MeasuredRange
    surfaces: tuple[Surface, ...]
    thetas: tuple[Array, ...]
    weights: Array
    slopes: Array
    choice: Array
    shocks: Array

    @cached_property
    def _followers(self) -> list[Array]:
        """Which draws follow each surface."""
        return [np.flatnonzero(self.choice == index) for index in range(len(self.surfaces))]

    def added(self, points: Points, inner: Points) -> Array:
        """Return what the averaged accuracy gains from the nearest points inside to the points."""
        parts = [
            weight * _gain(surface, theta, points, inner)
            for weight, surface, theta in zip(self.weights, self.surfaces, self.thetas, strict=True)
        ]
        return np.asarray(np.sum(parts, axis=0))

    def drawn(self, points: Points, inner: Points, past: tuple[Array, Array]) -> Array:
        """Return the same for each draw, with its errors, (D, M), for points (M,) or (D, M)."""
        count = len(self.choice)
        found = np.empty((count, points.n_base.shape[-1]))
        for surface, theta, mine in zip(self.surfaces, self.thetas, self._followers, strict=True):
            here, there = (p if p.n_base.ndim < 2 else p.part(mine) for p in (points, inner))
            found[mine] = _gain(surface, theta, here, there)
        errors = self.slopes[self.choice] * self.shocks
        return np.asarray(found + errors[:, :1] * past[0] + errors[:, 1:] * past[1])


def _gain(surface: Surface, theta: Array, points: Points, inner: Points) -> Array:
    """Return what a surface gains from points inside to points beyond.

    Some forms rise without end: past 1 they say nothing, and however little they weigh would say it loudest.
    So beyond the range each is held between 0 and 1.
    """
    start = surface.accuracy(inner, theta)
    end = np.clip(surface.accuracy(points, theta), np.minimum(start, 0.0), np.maximum(start, 1.0))
    return np.asarray(end - start)


def shares(errors: Array, misfit: Array, excluded: Array, spread: float) -> Array:
    """Return each surface's share of what lies beyond, (S,).

    Args:
        errors: root mean square errors at what was left out, in real and synthetic images, (S, 2); NaN where
            nothing could be left out.
        misfit: root mean square errors at single cells left out, (S,).
        excluded: surfaces that have no say, (S,) bool.
        spread: range of the fitted accuracies.
    """
    square = np.nansum(errors**2, axis=1) + misfit**2 + (_GRANTED * spread) ** 2
    shared = np.where(excluded, 0.0, 1.0 / np.maximum(square, _LEAST_SQUARE))
    shared = np.where(shared < _LEAST_SHARE * shared.sum(), 0.0, shared)
    return np.asarray(shared / shared.sum())


def slopes(errors: Array, distances: Array, spread: float) -> Array:
    """Return standard errors per unit of logarithmic distance, (S, 2).

    Args:
        errors: as for `shares`.
        distances: how far what was left out lay from what was left, (2,); NaN where nothing was.
        spread: range of the fitted accuracies.
    """
    rate = np.where(np.isfinite(errors), errors / distances, np.nan)
    granted = _GRANTED * spread / np.log(4.0)
    # Untested: as wrong as what is granted is to what is usual, about a tenth of the range per factor of 4.
    untested = 0.1 * spread / np.log(4.0)
    return np.asarray(np.sqrt(np.where(np.isnan(rate), untested, rate) ** 2 + granted**2))
