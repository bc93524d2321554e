"""Several weighted surfaces as one: predictions and equivalences whose intervals span the surfaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mousterian.fitting.extrapolation import Extrapolation
from mousterian.fitting.interval import Interval
from mousterian.fitting.surface import Array, Points, Surface

# An equivalence is looked for up to this many times the most synthetic (or real) images measured.
REACH = 10.0
# Counts tried between 1 and the most, each about 1.4 times the one before; halvings of what lies between.
_GRID, _HALVINGS = 40, 34
# Accuracies nearer to each other than this are as good as the same.
NOTICED = 0.001


@dataclass(frozen=True)
class Member:
    """One surface in the average: weight, best parameters (P,), and its share of the draws (D, P)."""

    surface: Surface
    weight: float
    theta: Array
    draws: Array


@dataclass(frozen=True)
class Decline:
    """What synthetic images past the number that is best do to one base's accuracy, none of them real.

    Attributes:
        count: the number that is best, tried or not; 0 where none is.
        tried: the most that were tried.
        alone: accuracy without any.
        best: accuracy with the number that is best.
        last: accuracy with as many as were tried.
        drop: what accuracy loses from the best to that, from draws paired.
    """

    count: float
    tried: float
    alone: float
    best: float
    last: Interval
    drop: Interval

    @property
    def clear(self) -> bool:
        """Whether more than are best were tried, and lose enough to be noticed whatever the draw."""
        return bool(self.count < self.tried and self.drop.low > 0 and self.drop.estimate >= NOTICED)

    @property
    def open(self) -> bool:
        """Whether the best number lies past those that were tried, so that its accuracy is a guess."""
        return self.count > self.tried and self.best - self.last.estimate >= NOTICED


@dataclass(frozen=True)
class ModelAverage:
    """The weighted surfaces; draws of all of them together make an interval.

    Attributes:
        members: heaviest first; each has draws in proportion to its weight.
        most_synthetic: synthetic images beyond which nothing counts as an answer; 0 where none were measured.
        most_real: real images, likewise.
        beyond: what counts past the measured range; None where one surface was asked for: then answers hold
            if it does, wherever they are.
    """

    members: tuple[Member, ...]
    most_synthetic: float
    most_real: float
    beyond: Extrapolation | None

    @property
    def count(self) -> int:
        """Draws of all members, D."""
        return sum(len(member.draws) for member in self.members)

    def thinned(self, count: int) -> ModelAverage:
        """Return the same average with about `count` draws, for work that many would make slow."""
        kept = np.zeros(self.count, dtype=bool)
        kept[:: max(self.count // count, 1)] = True
        ends = np.cumsum([len(member.draws) for member in self.members])[:-1]
        parts = zip(self.members, np.split(kept, ends), strict=True)
        members = tuple(replace(member, draws=member.draws[part]) for member, part in parts)
        beyond = self.beyond and replace(
            self.beyond, choice=self.beyond.choice[kept], shocks=self.beyond.shocks[kept]
        )
        return replace(self, members=members, beyond=beyond)

    def estimate(self, points: Points) -> Array:
        """Return the averaged accuracy at M points, (M,)."""
        inner = self.beyond.measured.inside(points) if self.beyond else points
        parts = [member.weight * member.surface.accuracy(inner, member.theta) for member in self.members]
        within = np.asarray(np.sum(parts, axis=0))
        return within + self.beyond.added(points, inner) if self.beyond else within

    def drawn(self, points: Points) -> Array:
        """Return the accuracy of each draw at M points (M,), or each at its own (D, M), as (D, M)."""
        if self.beyond is None:
            return self._within(points)
        past = self.beyond.measured.past(points)
        if not (past[0].any() or past[1].any()):
            return self._within(points)
        inner = self.beyond.measured.inside(points)
        return self._within(inner) + self.beyond.drawn(points, inner, past)

    def _within(self, points: Points) -> Array:
        found, first = [], 0
        for member in self.members:
            last = first + len(member.draws)
            mine = points if points.n_base.ndim < 2 else points.part(slice(first, last))
            found.append(member.surface.accuracy(mine, member.draws))
            first = last
        return np.concatenate(found)

    def predict(self, points: Points) -> Interval:
        """Return accuracy with its interval at M points, (M,) each, within 0 and 1."""
        return Interval.of_draws(self.estimate(points), self.drawn(points), within=(0.0, 1.0))

    def reaching(self, target: Points, path: Callable[[Array], Points], most: float) -> tuple[Array, Array]:
        """Return the least count along a path that does what the target points do.

        Args:
            target: M points whose accuracy is to be reached.
            path: counts, (M,) or (D, M) -> points.
            most: largest count that is an answer.

        Returns:
            From the averaged surface (M,) and from each draw (D, M); inf where no count does.
        """
        estimate = bracket(lambda count: self.estimate(path(count)), self.estimate(target), most)
        return estimate, bracket(lambda count: self.drawn(path(count)), self.drawn(target), most)

    def synthetic_for(self, n_base: Array, n_real_plus: Array) -> tuple[Array, Array]:
        """Return the n_syn_plus that does what n_real_plus does, as `reaching`; in closed form if it can."""
        only = self.members[0].surface
        if self.beyond is None and len(self.members) == 1 and only.has_closed_form:
            theta = np.vstack([self.members[0].theta, self.members[0].draws])
            exact = only.equivalent(n_base, n_real_plus, theta)
            exact = np.where(exact <= self.most_synthetic, exact, np.inf)
            return exact[0], exact[1:]
        return self.reaching(
            Points.of(n_base, n_real_plus), lambda count: Points.of(n_base, 0.0, count), self.most_synthetic
        )

    def real_for(self, n_base: Array, n_syn_plus: Array) -> tuple[Array, Array]:
        """Return the n_real_plus that does what n_syn_plus does, as `reaching`."""
        estimate, draws = self.reaching(
            Points.of(n_base, 0.0, n_syn_plus), lambda count: Points.of(n_base, count, 0.0), self.most_real
        )
        # What no synthetic image was ever measured for is worth nothing that anyone could tell.
        told = (n_syn_plus == 0) | (self.most_synthetic > 0)
        return np.where(told, estimate, np.inf), np.where(told, draws, np.inf)

    def saturation(self, n_base: float) -> float:
        """Return the best accuracy that synthetic images alone can bring to this base, within reach."""
        return float(np.clip(self._alone(n_base)[1].max(), 0.0, 1.0))

    def decline(self, n_base: float, tried: float) -> Decline:
        """Return what `tried` synthetic images alone do to this base, beside the number that is best."""
        grid, reached = self._alone(n_base)
        count = float(grid[reached.argmax()])
        two = Points.of(n_base, 0.0, [count, tried])
        estimate, draws = self.estimate(two), self.drawn(two)
        drop = Interval.of_draws(estimate[0] - estimate[1], draws[:, 0] - draws[:, 1])
        last = Interval.of_draws(estimate[1], draws[:, 1], within=(0.0, 1.0))
        return Decline(count, tried, float(reached[0]), float(reached.max()), last, drop)

    def _alone(self, n_base: float) -> tuple[Array, Array]:
        """Return numbers of synthetic images within reach, and this base's accuracy with each."""
        most = self.most_synthetic
        grid = np.concatenate([[0.0], np.geomspace(1.0, most, 200)]) if most else np.zeros(1)
        return grid, self.estimate(Points.of(n_base, 0.0, grid))


def bracket(accuracy: Callable[[Array], Array], target: Array, most: float) -> Array:
    """Return the least count at which accuracy comes up to the target; inf where none up to `most` does.

    Args:
        accuracy: counts of the target's shape, or of its last axis -> accuracies of the target's shape.
        target: accuracies to reach, any shape.
        most: largest count tried.
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
    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        reached = accuracy(middle) >= target
        left, right = np.where(reached, left, middle), np.where(reached, middle, right)
    return np.where(found, np.where(high == 0.0, 0.0, right), np.inf)
