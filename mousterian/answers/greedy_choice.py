"""A greedy choice of trials, each the most informative given those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mousterian.fitting.surface import Array


@dataclass(frozen=True)
class Choice:
    """Chosen mixtures, and what their results leave of the targets' variance.

    Attributes:
        cells: indices of the mixtures in order, repeats included.
        spread: standard deviation, root mean square over targets.
        left: share of the variance that is left.
    """

    cells: list[int]
    spread: float
    left: float


def choose(
    wanted: Array,
    results: Array,
    noise: Array,
    cost: Array,
    trials: int,
    *,
    first: Sequence[int] = (),
    once: bool = False,
) -> Choice:
    """Choose mixtures by the variance of the targets that their results explain, per trial.

    Args:
        wanted: draws of the targets, (D, Q).
        results: draws of each mixture's mean result, (D, C).
        noise: variance of that mean, (C,).
        cost: trials of each mixture, (C,); those of 0 are left out.
        trials: how many there are.
        first: mixtures to choose before the others.
        once: choose none twice.
    """
    wanted, results = wanted - wanted.mean(axis=0), results - results.mean(axis=0)
    across, among = (each.T @ results / (len(wanted) - 1) for each in (wanted, results))
    variances = (wanted**2).sum(axis=0) / (len(wanted) - 1)
    before = max(float(variances.mean()), 1e-12)
    ahead = [index for index in first if cost[index]]
    found: list[int] = []
    while True:
        possible = (cost > 0) & (cost <= trials)
        possible[found if once else []] = False
        if not possible.any():
            break
        gain = (across**2).sum(axis=0) / (np.diag(among) + noise) / np.maximum(cost, 1)
        best = ahead.pop(0) if ahead else int(np.argmax(np.where(possible, gain, -1.0)))
        scale = among[best, best] + noise[best]
        variances = variances - across[:, best] ** 2 / scale
        # Condition the Gaussian on this mixture's result.
        across = across - np.outer(across[:, best], among[best]) / scale
        among = among - np.outer(among[:, best], among[best]) / scale
        found.append(best)
        trials -= int(cost[best])
    after = float(np.maximum(variances, 0.0).mean())
    return Choice(found, float(np.sqrt(after)), after / before)
