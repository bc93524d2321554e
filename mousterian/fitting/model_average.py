"""Model average: predictions and equivalences whose intervals include the choice of surface."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mousterian.fitting.extrapolation import Extrapolation
from mousterian.fitting.interval import Interval
from mousterian.fitting.surface import Array, Points, Surface

# Equivalences are searched for up to this many times the most synthetic (or real) images measured.
SEARCH_FACTOR = 10.0
# Counts tried between 1 and the limit, each about 1.4 times the one before; bisection steps between two.
_GRID, _BISECTIONS = 40, 34
# Differences in accuracy below this are negligible.
NEGLIGIBLE = 0.001


@dataclass(frozen=True)
class Member:
    """One surface of the average: weight, best parameters (P,), and its share of the draws (D, P)."""

    surface: Surface
    weight: float
    theta: Array
    draws: Array


@dataclass(frozen=True)
class Decline:
    """Loss of accuracy from more synthetic images than the best number, with no real ones added.

    Attributes:
        count: the best number, measured or not; 0 where synthetic images only harm.
        tried: the most that were measured.
        alone: accuracy without synthetic images.
        best: accuracy with the best number.
        last: accuracy with `tried`.
        drop: `best` minus `last`, from paired draws.
    """

    count: float
    tried: float
    alone: float
    best: float
    last: Interval
    drop: Interval

    @property
    def clear(self) -> bool:
        """Whether more than the best number were measured, and accuracy falls significantly."""
        return bool(self.count < self.tried and self.drop.low > 0 and self.drop.estimate >= NEGLIGIBLE)

    @property
    def open(self) -> bool:
        """Whether the best number lies beyond those measured, so that its accuracy is extrapolated."""
        return self.count > self.tried and self.best - self.last.estimate >= NEGLIGIBLE


@dataclass(frozen=True)
class ModelAverage:
    """The weighted surfaces; intervals are taken over the draws of all of them.

    Attributes:
        members: heaviest first; each has draws in proportion to its weight.
        most_synthetic: search limit for synthetic images; 0 where none were measured.
        most_real: search limit for real images.
        extrapolation: the average beyond the measured range; None for a fit of one surface, whose answers
            are conditional on it everywhere.
        noise_known: whether the draws give intervals; without it they have the spread of the surfaces alone.
    """

    members: tuple[Member, ...]
    most_synthetic: float
    most_real: float
    extrapolation: Extrapolation | None
    noise_known: bool = True

    def interval(
        self, estimate: Array, draws: Array, *, within: tuple[float, float] = (-math.inf, math.inf)
    ) -> Interval:
        """Return the interval of draws (D, ...) of this average; its ends are NaN where noise is unknown."""
        found = Interval.of_draws(estimate, draws, within=within)
        nothing = found.estimate * math.nan
        return found if self.noise_known else Interval(found.estimate, nothing, nothing)

    @property
    def count(self) -> int:
        """Number of draws of all members, D."""
        return sum(len(member.draws) for member in self.members)

    def thinned(self, count: int) -> ModelAverage:
        """Return the same average with about `count` draws, to save time."""
        kept = np.zeros(self.count, dtype=bool)
        kept[:: max(self.count // count, 1)] = True
        ends = np.cumsum([len(member.draws) for member in self.members])[:-1]
        parts = zip(self.members, np.split(kept, ends), strict=True)
        members = tuple(replace(member, draws=member.draws[part]) for member, part in parts)
        found = self.extrapolation
        found = found and replace(found, choice=found.choice[kept], shocks=found.shocks[kept])
        return replace(self, members=members, extrapolation=found)

    def estimate(self, points: Points) -> Array:
        """Return the averaged accuracy at M points, (M,)."""
        inner = self.extrapolation.measured.nearest(points) if self.extrapolation else points
        parts = [member.weight * member.surface.accuracy(inner, member.theta) for member in self.members]
        within = np.asarray(np.sum(parts, axis=0))
        return within + self.extrapolation.gain(points, inner) if self.extrapolation else within

    def drawn(self, points: Points) -> Array:
        """Return the accuracy of each draw at M points (M,), or each at its own (D, M), as (D, M)."""
        if self.extrapolation is None:
            return self._within(points)
        distance = self.extrapolation.measured.distance(points)
        if not (distance[0].any() or distance[1].any()):
            return self._within(points)
        inner = self.extrapolation.measured.nearest(points)
        return self._within(inner) + self.extrapolation.drawn(points, inner, distance)

    def _within(self, points: Points) -> Array:
        found, first = [], 0
        for member in self.members:
            last = first + len(member.draws)
            mine = points if points.n_base.ndim < 2 else points.part(slice(first, last))
            found.append(member.surface.accuracy(mine, member.draws))
            first = last
        return np.concatenate(found)

    def predict(self, points: Points) -> Interval:
        """Return accuracies with intervals at M points, (M,) each, clipped to 0 and 1."""
        return self.interval(self.estimate(points), self.drawn(points), within=(0.0, 1.0))

    def reaching(self, target: Points, path: Callable[[Array], Points], most: float) -> tuple[Array, Array]:
        """Return the least count along a path that reaches the accuracy of the target points.

        Args:
            target: M points whose accuracy is to be reached.
            path: counts, (M,) or (D, M) -> points.
            most: search limit.

        Returns:
            From the averaged surface (M,) and from each draw (D, M); inf where unreachable.
        """
        estimate = bracket(lambda count: self.estimate(path(count)), self.estimate(target), most)
        return estimate, bracket(lambda count: self.drawn(path(count)), self.drawn(target), most)

    def synthetic_for(self, n_base: Array, n_real_plus: Array) -> tuple[Array, Array]:
        """Return the n_syn_plus equivalent to n_real_plus, like `reaching`; in closed form if possible."""
        only = self.members[0].surface
        if self.extrapolation is None and len(self.members) == 1 and only.has_closed_form:
            theta = np.vstack([self.members[0].theta, self.members[0].draws])
            exact = only.equivalent(n_base, n_real_plus, theta)
            exact = np.where(exact <= self.most_synthetic, exact, np.inf)
            return exact[0], exact[1:]
        return self.reaching(
            Points.of(n_base, n_real_plus), lambda count: Points.of(n_base, 0.0, count), self.most_synthetic
        )

    def real_for(self, n_base: Array, n_syn_plus: Array) -> tuple[Array, Array]:
        """Return the n_real_plus equivalent to n_syn_plus, like `reaching`."""
        estimate, draws = self.reaching(
            Points.of(n_base, 0.0, n_syn_plus), lambda count: Points.of(n_base, count, 0.0), self.most_real
        )
        # Without measured synthetic images their worth is unknown.
        known = (n_syn_plus == 0) | (self.most_synthetic > 0)
        return np.where(known, estimate, np.inf), np.where(known, draws, np.inf)

    def saturation(self, n_base: float) -> float:
        """Return the best accuracy from synthetic images alone at this base, within the search limit."""
        return float(np.clip(self._alone(n_base)[1].max(), 0.0, 1.0))

    def decline(self, n_base: float, tried: float) -> Decline:
        """Compare `tried` synthetic images alone at this base with the best number."""
        grid, reached = self._alone(n_base)
        count = float(grid[reached.argmax()])
        two = Points.of(n_base, 0.0, [count, tried])
        estimate, draws = self.estimate(two), self.drawn(two)
        drop = self.interval(estimate[0] - estimate[1], draws[:, 0] - draws[:, 1])
        last = self.interval(estimate[1], draws[:, 1], within=(0.0, 1.0))
        return Decline(count, tried, float(reached[0]), float(reached.max()), last, drop)

    def _alone(self, n_base: float) -> tuple[Array, Array]:
        """Return numbers of synthetic images up to the search limit, and this base's accuracy with each."""
        most = self.most_synthetic
        grid = np.concatenate([[0.0], np.geomspace(1.0, most, 200)]) if most else np.zeros(1)
        return grid, self.estimate(Points.of(n_base, 0.0, grid))


def draw_order(shares: Sequence[int] | Array, seed: int) -> Array:
    """Return which member of an average each draw belongs to, (D,), from the members' numbers of draws."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(shares)), shares))


def bracket(accuracy: Callable[[Array], Array], target: Array, most: float) -> Array:
    """Return the least count at which accuracy reaches the target; inf where none up to `most` does.

    Args:
        accuracy: counts of the target's shape, or of its last axis -> accuracies of the target's shape.
        target: accuracies to reach, any shape.
        most: search limit.
    """
    grid = np.concatenate([[0.0], np.geomspace(min(1.0, most / 2), most, _GRID)]) if most > 0 else np.zeros(1)
    low, high = np.zeros(target.shape), np.full(target.shape, np.inf)
    for before, count in pairwise(grid):
        if np.isfinite(high).all():
            break
        first = np.isinf(high) & (accuracy(np.full(target.shape[-1:], count)) >= target)
        low, high = np.where(first, before, low), np.where(first, count, high)
    high = np.where(accuracy(np.zeros(target.shape[-1:])) >= target, 0.0, high)
    found = np.isfinite(high)
    left, right = low, np.where(found, high, 0.0)
    for _ in range(_BISECTIONS):
        middle = (left + right) / 2
        reached = accuracy(middle) >= target
        left, right = np.where(reached, left, middle), np.where(reached, middle, right)
    return np.where(found, np.where(high == 0.0, 0.0, right), np.inf)
