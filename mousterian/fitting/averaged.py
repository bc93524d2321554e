"""Several weighted surfaces as one: predictions and equivalences whose intervals span the surfaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from mousterian.fitting.interval import Interval
from mousterian.fitting.surface import Array, Points, Surface

# An equivalence is looked for up to this many times the most synthetic (or real) images measured.
REACH = 100.0
_GRID = 64
_HALVINGS = 60


@dataclass(frozen=True)
class Member:
    """One surface in the average: weight, best parameters (P,), and its share of the draws (D, P)."""

    surface: Surface
    weight: float
    theta: Array
    draws: Array


@dataclass(frozen=True)
class Averaged:
    """The weighted surfaces; draws of all of them together make an interval.

    Attributes:
        members: heaviest first; each has draws in proportion to its weight.
        most_synthetic: synthetic images beyond which nothing counts as an answer.
        most_real: real images, likewise.
    """

    members: tuple[Member, ...]
    most_synthetic: float
    most_real: float

    def estimate(self, points: Points) -> Array:
        """Return the averaged accuracy at M points, (M,)."""
        parts = [member.weight * member.surface.accuracy(points, member.theta) for member in self.members]
        return np.asarray(np.sum(parts, axis=0))

    def predict(self, points: Points) -> Interval:
        """Return accuracy with its interval at M points, (M,) each, within 0 and 1."""
        draws = [m.surface.accuracy(points, m.draws) for m in self.members if len(m.draws)]
        return Interval.of_draws(self.estimate(points), np.concatenate(draws), within=(0.0, 1.0))

    def reaching(self, target: Points, path: Callable[[Array], Points], most: float) -> tuple[Array, Array]:
        """Return the least count along a path that does what the target points do.

        Args:
            target: M points whose accuracy is to be reached.
            path: counts (broadcastable to (D, M)) -> points.
            most: largest count that is an answer.

        Returns:
            From the averaged surface (M,) and from each draw (D, M); inf where no count does.
        """
        found = []
        for member in self.members:
            if len(member.draws):
                accuracy = partial(_at, member.surface, member.draws, path)
                found.append(bracket(accuracy, member.surface.accuracy(target, member.draws), most))
        estimate = bracket(lambda count: self.estimate(path(count)), self.estimate(target), most)
        return estimate, np.concatenate(found)

    def synthetic_for(self, n_base: Array, n_real_plus: Array) -> tuple[Array, Array]:
        """Return the n_syn_plus that does what n_real_plus does, as `reaching`; in closed form if it can."""
        target = Points.of(n_base, n_real_plus, 0.0)
        most = self.most_synthetic

        def path(count: Array) -> Points:
            return Points.of(n_base, 0.0, count)

        found = []
        for member in self.members:
            if not len(member.draws):
                continue
            if member.surface.has_closed_form:
                exact = member.surface.equivalent(n_base, n_real_plus, member.draws)
                found.append(np.where(exact <= most, exact, np.inf))
            else:
                accuracy = partial(_at, member.surface, member.draws, path)
                found.append(bracket(accuracy, member.surface.accuracy(target, member.draws), most))
        estimate = bracket(lambda count: self.estimate(path(count)), self.estimate(target), most)
        return estimate, np.concatenate(found)

    def real_for(self, n_base: Array, n_syn_plus: Array) -> tuple[Array, Array]:
        """Return the n_real_plus that does what n_syn_plus does, as `reaching`."""
        return self.reaching(
            Points.of(n_base, 0.0, n_syn_plus), lambda count: Points.of(n_base, count, 0.0), self.most_real
        )

    def saturation(self, n_base: float) -> float:
        """Return the best accuracy that synthetic images alone can bring to this base, within reach."""
        grid = np.concatenate([[0.0], np.geomspace(1.0, self.most_synthetic, 200)])
        return float(np.clip(self.estimate(Points.of(n_base, 0.0, grid)).max(), 0.0, 1.0))


def _at(surface: Surface, draws: Array, path: Callable[[Array], Points], count: Array) -> Array:
    """Return a surface's accuracy along a path, for each draw."""
    return surface.accuracy(path(count), draws)


def bracket(accuracy: Callable[[Array], Array], target: Array, most: float) -> Array:
    """Return the least count at which accuracy comes up to the target; inf where none up to `most` does.

    Args:
        accuracy: counts of the target's shape, or of its last axis -> accuracies of the target's shape.
        target: accuracies to reach, any shape.
        most: largest count tried.
    """
    grid = np.concatenate([[0.0], np.geomspace(1.0, most, _GRID)])
    low, high = np.zeros(target.shape), np.full(target.shape, np.inf)
    for before, count in pairwise(grid):
        first = np.isinf(high) & (accuracy(np.full(target.shape[-1:], count)) >= target)
        low, high = np.where(first, before, low), np.where(first, count, high)
    high = np.where(accuracy(np.zeros(target.shape[-1:])) >= target, 0.0, high)
    found = np.isfinite(high)
    left, right = low, np.where(found, high, 0.0)
    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        reached = accuracy(middle) >= target
        left, right = np.where(reached, left, middle), np.where(reached, middle, right)
    return np.where(found, np.where(high == 0.0, 0.0, right), np.inf)
