"""The cheapest mixture of real and synthetic images that reaches a target accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mousterian.errors import InputError
from mousterian.fitting.interval import Interval, rounded
from mousterian.fitting.measured_range import Trust, refuse_impossible
from mousterian.fitting.model_average import ModelAverage, bracket
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Array, Points

# Numbers of real images on the search grid, and draws for the interval.
_STEPS, _DRAWS = 61, 200
# Draws may use up to this many times the real images that the average needs.
_FURTHER = 4.0


@dataclass(frozen=True)
class Plan:
    """The cheapest mixture that reaches a target accuracy.

    Attributes:
        n_base: size of the base set.
        target_accuracy: as given, a fraction.
        reachable: whether some mixture within the limits reaches it, in the average and in half of the draws.
        n_real_plus, n_syn_plus: the mixture, with intervals over draws; None where not reachable.
        cost: of the added images, in the unit of the prices; None where not reachable.
        accuracy: of the mixture; of the best one within the limits where the target is not reachable.
        probability: that the mixture (any mixture, where not reachable) reaches the target, over draws.
        cost_of_real_alone, cost_of_synthetic_alone: what the target costs with one kind; None if unreachable.
        trust: whether the mixture lies inside the measured range.
        conditional: what the plan is conditional on, like an equivalence; "" if nothing.
        frontier: mixtures that just reach the target (isocost picture): n_real_plus, n_syn_plus, cost.
    """

    n_base: float
    target_accuracy: float
    reachable: bool
    n_real_plus: Interval | None
    n_syn_plus: Interval | None
    cost: Interval | None
    accuracy: Interval
    probability: float
    cost_of_real_alone: float | None
    cost_of_synthetic_alone: float | None
    trust: Trust
    conditional: str
    frontier: pd.DataFrame

    def to_json(self) -> dict[str, Any]:
        """Return the plan as `mousterian plan --json` prints it."""
        intervals = {
            name: None if (value := getattr(self, name)) is None else value.to_json()
            for name in ("n_real_plus", "n_syn_plus", "cost", "accuracy")
        }
        return {
            "n_base": self.n_base,
            "target_accuracy": self.target_accuracy,
            "reachable": self.reachable,
            **intervals,
            "probability": rounded(self.probability),
            "cost_of_real_alone": self.cost_of_real_alone,
            "cost_of_synthetic_alone": self.cost_of_synthetic_alone,
            "trust": self.trust,
            "conditional": self.conditional,
            "frontier": [
                {str(name): rounded(value) for name, value in row.items()}
                for row in self.frontier.to_dict("records")
            ],
        }


def cheapest_mix(
    fit: Fit,
    *,
    n_base: float,
    target_accuracy: float,
    real_cost: float,
    syn_cost: float,
    max_real: float | None = None,
    max_syn: float | None = None,
) -> Plan:
    """Return the cheapest mixture of added images that reaches a target accuracy.

    Args:
        fit: of the arm.
        n_base: real images there are already.
        target_accuracy: a fraction, or percent if above 1.
        real_cost, syn_cost: price of one image of each kind, in the same unit.
        max_real, max_syn: most images of each kind; by default the search limits.

    Raises:
        InputError: a price or a count is negative, or the target is not an accuracy.
    """
    target = _fraction(target_accuracy)
    limits = {"max_real": max_real or 0.0, "max_syn": max_syn or 0.0}
    refuse_impossible(n_base=n_base, real_cost=real_cost, syn_cost=syn_cost, **limits)
    averaged, base, prices = fit.averaged, float(n_base), (float(real_cost), float(syn_cost))
    most = _limits(averaged, max_real, max_syn)
    real_alone = _real_alone(averaged, base, target, most[0])
    enough = min(real_alone, most[0])
    n_real = _steps(base, enough, most[0])
    needed, draws = _needed(averaged, base, n_real, target, most[1])
    just = n_real <= enough
    estimate, costs = needed[just], _costs(prices, n_real, needed)[just]
    frontier = pd.DataFrame({"n_real_plus": n_real[just], "n_syn_plus": estimate, "cost": costs})
    drawn = _costs(prices, n_real, draws)
    share = float(np.isfinite(drawn).any(axis=1).mean())
    found = partial(
        Plan,
        n_base=base,
        target_accuracy=target,
        conditional=fit.conditional,
        cost_of_real_alone=_finite(real_alone * prices[0]),
        cost_of_synthetic_alone=_finite(float(_costs(prices, np.zeros(1), estimate[:1])[0])),
        frontier=frontier[np.isfinite(estimate)].reset_index(drop=True),
    )
    if np.isfinite(costs).any() and share >= 0.5:
        return found(**_cheapest(fit, base, target, frontier=frontier, drawn=(n_real, draws, drawn)))
    return found(
        reachable=False, n_real_plus=None, n_syn_plus=None, cost=None, accuracy=_best(fit, base, most),
        probability=share, trust="extrapolated",
    )  # fmt: skip


def _limits(averaged: ModelAverage, max_real: float | None, max_syn: float | None) -> tuple[float, float]:
    """Return the most real and synthetic images of a plan; no synthetic ones if none were measured."""
    real = averaged.most_real if max_real is None else float(max_real)
    return real, averaged.most_synthetic if max_syn is None or not averaged.most_synthetic else float(max_syn)


def _costs(prices: tuple[float, float], n_real: Array, n_syn: Array) -> Array:
    """Return the costs of mixtures; inf where no number of synthetic images is enough, even if free."""
    enough = np.isfinite(n_syn)
    return np.asarray(np.where(enough, prices[0] * n_real + prices[1] * np.where(enough, n_syn, 0.0), np.inf))


def _best(fit: Fit, base: float, most: tuple[float, float]) -> Interval:
    """Return the best accuracy within the limits; it may have fewer synthetic images than the most."""
    n_syn = np.concatenate([[0.0], np.geomspace(min(1.0, most[1]), most[1], _STEPS)]) if most[1] else [0.0]
    estimate = fit.averaged.estimate(Points.of(base, most[0], n_syn))
    return fit.predict(base, most[0], float(n_syn[int(np.argmax(estimate))]))


def _fraction(accuracy: float) -> float:
    found = accuracy / 100 if accuracy > 1 else accuracy
    if not 0 < found < 1:
        raise InputError(f"target accuracy {accuracy} is not between 0 and 1 (or 0 and 100 %)")
    return found


def _cheapest(
    fit: Fit, base: float, target: float, *, frontier: pd.DataFrame, drawn: tuple[Array, Array, Array]
) -> dict[str, Any]:
    """Return the fields of a plan for the cheapest mixture on a frontier.

    Args:
        fit, base, target: as given.
        frontier: mixtures that just reach the target.
        drawn: numbers of real images, (M,); per draw the synthetic ones needed with each, and costs, (D, M).
    """
    real, syn, cost = frontier.iloc[int(np.argmin(frontier["cost"]))].astype(float)
    n_real, draws, costs = drawn
    cheapest = np.argmin(costs, axis=1)
    chosen = (np.arange(len(costs)), cheapest)
    real_drawn = np.where(np.isfinite(costs[chosen]), n_real[cheapest], np.inf)
    return {
        "reachable": True,
        "n_real_plus": fit.averaged.interval(np.asarray(real), real_drawn),
        "n_syn_plus": fit.averaged.interval(np.asarray(syn), draws[chosen]),
        "cost": fit.averaged.interval(np.asarray(cost), costs[chosen]),
        "accuracy": fit.predict(base, real, syn),
        "probability": float((fit.averaged.drawn(Points.of([base], real, syn)) >= target).mean()),
        "trust": fit.measured.trust(base, real, syn),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _steps(n_base: float, enough: float, most: float) -> Array:
    """Return numbers of real images to try: 0, a geometric grid up to `enough`, and further ones.

    The latter are for draws that need more than `enough`, which would otherwise seem unreachable.
    """
    further = min(_FURTHER * enough + n_base, most)
    steps = [np.zeros(1)]
    if enough >= 1:
        steps.append(np.geomspace(max(enough * 1e-3, 1.0), enough, _STEPS - 1))
    if further > max(enough, 1.0):
        steps.append(np.geomspace(max(enough, 1.0), further, _STEPS // 2)[1:])
    return np.concatenate(steps)


def _real_alone(averaged: ModelAverage, n_base: float, target: float, most: float) -> float:
    found = bracket(lambda count: averaged.estimate(Points.of(n_base, count, 0.0)), np.array([target]), most)
    return float(found[0])


def _needed(
    averaged: ModelAverage, n_base: float, n_real: Array, target: float, most: float
) -> tuple[Array, Array]:
    """Return the synthetic images needed with each number of real ones, (M,) and per draw (D, M)."""

    def path(count: Array) -> Points:
        return Points.of(n_base, n_real, count)

    estimate = bracket(lambda count: averaged.estimate(path(count)), np.full(len(n_real), target), most)
    few = averaged.thinned(_DRAWS)
    wanted = np.full((few.count, len(n_real)), target)
    return estimate, bracket(lambda count: few.drawn(path(count)), wanted, most)
