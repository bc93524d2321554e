"""Metrics: what a trial's predictions are worth, as numbers computed from its side file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mousterian.store.predictions import Predictions


@dataclass(frozen=True)
class Metric:
    """A number of a trial's predictions.

    Attributes:
        name: as in tables and on the command line.
        title: in a sentence.
        higher_is_better: its direction.
        low, high: the least and the greatest that it can be.
        chance: returns what guessing gives, from the number of classes.
        of: computes it from predictions.
    """

    name: str
    title: str
    higher_is_better: bool
    low: float
    high: float
    chance: Callable[[int], float]
    of: Callable[[Predictions], float]


def _top1(found: Predictions) -> float:
    return float((found.predicted == found.labels).mean())


TOP1 = Metric("top1", "top-1 accuracy", True, 0.0, 1.0, lambda classes: 1 / classes, _top1)
