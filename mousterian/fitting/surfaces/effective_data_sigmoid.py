"""A sigmoid in the logarithm of effective data, from a floor (chance level) to a ceiling."""

from __future__ import annotations

import math

import numpy as np

from mousterian.fitting.surfaces._sizes import Array, Values, at_least_one, log_count, logistic, power

BOUNDS = {
    "a": (0.0, 1.0),
    "phi": (0.0, 1.0),
    "n_half": (0.0, math.inf),
    "kappa": (0.0, math.inf),
    "gamma": (0.0, 1.5),
    "delta": (0.01, 5.0),
}
LATEX = (
    r"a \left(\varphi + \frac{1 - \varphi}{1 + \left(n_{1/2} \,/\,"
    r" \left(n_{\mathrm{base}} + n_{\mathrm{real+}}"
    r" + \kappa\, n_{\mathrm{syn+}}^{\gamma}\right)\right)^{\delta}}\right)"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, phi: Values, n_half: Values, kappa: Values, gamma: Values, delta: Values,
) -> Array:  # fmt: skip
    """Accuracy a·(φ + (1 − φ)/(1 + (n_half/(n_base + n_real_plus + κ·n_syn_plus^γ))^δ)).

    The floor is a share φ of the ceiling a, so that the curve cannot fall: else a little noise at the largest
    sizes would extrapolate to a collapse.
    """
    size = at_least_one(n_base + n_real_plus + kappa * power(n_syn_plus, gamma))
    return np.asarray(a * (phi + (1.0 - phi) * logistic(delta * (np.log(size) - np.log(n_half)))))


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, phi: Values, n_half: Values, kappa: Values, gamma: Values, delta: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    added = power(n_syn_plus, gamma)
    size = at_least_one(n_base + n_real_plus + kappa * added)
    odds = np.log(size) - np.log(n_half)
    share = logistic(delta * odds)
    slope = a * (1.0 - phi) * share * (1.0 - share)
    by_kappa = slope * delta / size * added
    by_gamma = by_kappa * kappa * log_count(n_syn_plus)
    by_a = phi + (1.0 - phi) * share
    return by_a, a * (1.0 - share), -slope * delta / n_half, by_kappa, by_gamma, slope * odds


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess where half the rise is reached, how steeply, and what synthetic images are worth."""
    real, added = at_least_one(n_base + n_real_plus), n_syn_plus[n_syn_plus > 0]
    typical = float(np.median(added)) if added.size else 1.0
    return [
        {
            "phi": phi,
            "n_half": half * float(np.median(real)),
            "kappa": worth * typical ** (1.0 - gamma),
            "gamma": gamma,
            "delta": delta,
        }
        for phi in (0.05, 0.3, 0.7)
        for half in (0.1, 0.5, 2.0)
        for worth in (0.03, 0.5)
        for gamma in (0.5, 1.0)
        for delta in (0.5, 1.5)
    ]


def equivalent(
    n_base: Values, n_real_plus: Values,
    *, a: Values, phi: Values, n_half: Values, kappa: Values, gamma: Values, delta: Values,
) -> Array:  # fmt: skip
    """Return the n_syn_plus worth n_real_plus: where κ·n_syn_plus^γ = n_real_plus."""
    with np.errstate(over="ignore", divide="ignore"):
        return np.asarray(np.power(np.divide(n_real_plus, kappa), 1.0 / gamma))
