"""Extrapolation: weights and errors of the surfaces beyond the measured range, from a back-test.

Surfaces that fit the data equally well agree inside the measured range and diverge beyond it, where fit is
poor evidence. So each surface is back-tested: the largest real sizes and the largest synthetic amounts are
predicted from the smaller ones. Beyond the range, the surfaces are weighted by these errors, and intervals
widen with the distance at their rate. The constants are calibrated on 900 learning curves of LCDB 1.0
(predictions at four times the largest size) and tested on others; see benchmarks/RESULTS.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mousterian.fitting.measured_range import MeasuredRange
from mousterian.fitting.surface import Array, Points, Surface

# Least error assumed of any surface at a distance of ln 4, as a share of the range of accuracies.
_FLOOR = 0.03
# Squared errors below this are rounding and do not distinguish surfaces.
_LEAST_SQUARE = 1e-10
# Surfaces of less weight than this have none.
_LEAST_WEIGHT = 0.01
# Degrees of freedom of the extrapolation errors: heavy tails.
FREEDOM = 3


@dataclass(frozen=True)
class Extrapolation:
    """The surfaces' average beyond the measured range.

    Attributes:
        measured: the measured range.
        surfaces: the S surfaces with weight.
        thetas: their best parameters.
        weights: their weights, (S,).
        slopes: standard error per unit of logarithmic distance, in real and in synthetic images, (S, 2).
        choice: index of each draw's surface, (D,).
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
    def _draws_of_surface(self) -> list[Array]:
        """Indices of each surface's draws."""
        return [np.flatnonzero(self.choice == index) for index in range(len(self.surfaces))]

    def gain(self, points: Points, inner: Points) -> Array:
        """Return the averaged gain in accuracy from the nearest points inside the range to the points."""
        parts = [
            weight * _gain(surface, theta, points, inner)
            for weight, surface, theta in zip(self.weights, self.surfaces, self.thetas, strict=True)
        ]
        return np.asarray(np.sum(parts, axis=0))

    def drawn(self, points: Points, inner: Points, distance: tuple[Array, Array]) -> Array:
        """Return each draw's gain, with its errors, (D, M), for points (M,) or (D, M)."""
        count = len(self.choice)
        found = np.empty((count, points.n_base.shape[-1]))
        for surface, theta, mine in zip(self.surfaces, self.thetas, self._draws_of_surface, strict=True):
            here, there = (p if p.n_base.ndim < 2 else p.part(mine) for p in (points, inner))
            found[mine] = _gain(surface, theta, here, there)
        errors = self.slopes[self.choice] * self.shocks
        return np.asarray(found + errors[:, :1] * distance[0] + errors[:, 1:] * distance[1])


def _gain(surface: Surface, theta: Array, points: Points, inner: Points) -> Array:
    """Return a surface's gain in accuracy from points inside the range to points beyond it.

    Beyond the range each surface is clipped to 0 and 1: one that grows without bound would otherwise dominate
    the average, however small its weight.
    """
    start = surface.accuracy(inner, theta)
    end = np.clip(surface.accuracy(points, theta), np.minimum(start, 0.0), np.maximum(start, 1.0))
    return np.asarray(end - start)


def weights(errors: Array, misfit: Array, excluded: Array, spread: float) -> Array:
    """Return each surface's weight beyond the measured range, (S,).

    Args:
        errors: back-test root mean square errors, in real and synthetic images, (S, 2); NaN where no rows
            could be held out.
        misfit: leave-one-cell-out root mean square errors, (S,).
        excluded: surfaces without weight, (S,) bool.
        spread: range of the fitted accuracies.
    """
    square = np.nansum(errors**2, axis=1) + misfit**2 + (_FLOOR * spread) ** 2
    found = np.where(excluded, 0.0, 1.0 / np.maximum(square, _LEAST_SQUARE))
    found = np.where(found < _LEAST_WEIGHT * found.sum(), 0.0, found)
    return np.asarray(found / found.sum())


def slopes(errors: Array, distances: Array, spread: float) -> Array:
    """Return standard errors per unit of logarithmic distance, (S, 2).

    Args:
        errors: as for `weights`.
        distances: of the back-test, (2,); NaN where no rows could be held out.
        spread: range of the fitted accuracies.
    """
    rate = np.where(np.isfinite(errors), errors / distances, np.nan)
    floor = _FLOOR * spread / np.log(4.0)
    # Untested surfaces get a typical error: a tenth of the range per factor of 4.
    untested = 0.1 * spread / np.log(4.0)
    return np.asarray(np.sqrt(np.where(np.isnan(rate), untested, rate) ** 2 + floor**2))
