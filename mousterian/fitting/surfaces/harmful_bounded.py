"""A power law in effective data, minus a penalty proportional to the share of synthetic images."""

from __future__ import annotations

import math

import numpy as np

from mousterian.fitting.surfaces._sizes import (
    Array,
    Values,
    at_least_one,
    power,
    power_law_gradient,
    power_law_starts,
)

BOUNDS = {
    "a": (0.0, 1.0),
    "b": (0.0, math.inf),
    "kappa": (0.0, math.inf),
    "gamma": (0.0, 1.0),
    "delta": (0.01, 3.0),
    "d": (0.0, 1.0),
}
LATEX = (
    r"a - b \left(n_{\mathrm{base}} + n_{\mathrm{real+}}"
    r" + \kappa\, n_{\mathrm{syn+}}^{\gamma}\right)^{-\delta}"
    r" - d\, \frac{n_{\mathrm{syn+}}}{n_{\mathrm{syn+}}"
    r" + n_{\mathrm{base}} + n_{\mathrm{real+}}}"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, kappa: Values, gamma: Values, delta: Values, d: Values,
) -> Array:  # fmt: skip
    """Accuracy a − b·(N + κ·n_syn_plus^γ)^(−δ) − d·n_syn_plus/(n_syn_plus + N) with N = n_base + n_real_plus.

    Harm is proportional to the synthetic share of the training set and, unlike that of `harmful`, bounded by
    d. Synthetic images have diminishing returns (γ ≤ 1).
    """
    real = at_least_one(n_base + n_real_plus)
    size = real + kappa * power(n_syn_plus, gamma)
    return np.asarray(a - b * np.exp(-delta * np.log(size)) - d * n_syn_plus / (n_syn_plus + real))


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, kappa: Values, gamma: Values, delta: Values, d: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    real = at_least_one(n_base + n_real_plus)
    size = real + kappa * power(n_syn_plus, gamma)
    of_law = power_law_gradient(size, n_syn_plus, b=b, kappa=kappa, gamma=gamma, delta=delta)
    return *of_law, -n_syn_plus / (n_syn_plus + real)


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess how steep the power law is and what a typical number of synthetic images is worth."""
    return power_law_starts(n_syn_plus, (0.03, 0.3, 1.0), (0.4, 0.8))
