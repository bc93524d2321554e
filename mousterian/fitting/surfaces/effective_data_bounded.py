"""A power law in effective data between 0 and a ceiling: linear in log odds."""

from __future__ import annotations

import math

import numpy as np

from mousterian.fitting.surfaces._sizes import Array, Values, at_least_one, log_count, logistic, power

BOUNDS = {
    "a": (0.0, 1.0),
    "n_half": (0.0, math.inf),
    "kappa": (0.0, math.inf),
    "gamma": (0.0, 1.5),
    "delta": (0.01, 5.0),
}
LATEX = (
    r"\frac{a}{1 + \left(n_{1/2} \,/\, \left(n_{\mathrm{base}} + n_{\mathrm{real+}}"
    r" + \kappa\, n_{\mathrm{syn+}}^{\gamma}\right)\right)^{\delta}}"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, n_half: Values, kappa: Values, gamma: Values, delta: Values,
) -> Array:  # fmt: skip
    """Accuracy a/(1 + (n_half/(n_base + n_real_plus + κ·n_syn_plus^γ))^δ), between 0 and a.

    The log odds of accuracy/a are linear in the logarithm of effective data; half of a is reached at n_half.
    """
    size = at_least_one(n_base + n_real_plus + kappa * power(n_syn_plus, gamma))
    return np.asarray(a * logistic(delta * (np.log(size) - np.log(n_half))))


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, n_half: Values, kappa: Values, gamma: Values, delta: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    added = power(n_syn_plus, gamma)
    size = at_least_one(n_base + n_real_plus + kappa * added)
    odds = np.log(size) - np.log(n_half)
    share = logistic(delta * odds)
    slope = a * share * (1.0 - share)
    by_kappa = slope * delta / size * added
    return share, -slope * delta / n_half, by_kappa, by_kappa * kappa * log_count(n_syn_plus), slope * odds


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess where half the ceiling is reached, how steeply, and what synthetic images are worth."""
    real, added = at_least_one(n_base + n_real_plus), n_syn_plus[n_syn_plus > 0]
    typical = float(np.median(added)) if added.size else 1.0
    return [
        {
            "n_half": half * float(real.min()),
            "kappa": worth * typical ** (1.0 - gamma),
            "gamma": gamma,
            "delta": delta,
        }
        for half in (0.05, 0.5, 3.0)
        for worth in (0.01, 0.1, 1.0)
        for gamma in (0.5, 1.0)
        for delta in (0.4, 1.0)
    ]


def equivalent(
    n_base: Values, n_real_plus: Values,
    *, a: Values, n_half: Values, kappa: Values, gamma: Values, delta: Values,
) -> Array:  # fmt: skip
    """Return the n_syn_plus worth n_real_plus: where κ·n_syn_plus^γ = n_real_plus."""
    with np.errstate(over="ignore", divide="ignore"):
        return np.asarray(np.power(np.divide(n_real_plus, kappa), 1.0 / gamma))
