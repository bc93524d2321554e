"""A power law in effective data: real images plus a power of the synthetic ones."""

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
    "gamma": (0.0, 1.5),
    "delta": (0.01, 3.0),
}
LATEX = (
    r"a - b \left(n_{\mathrm{base}} + n_{\mathrm{real+}}"
    r" + \kappa\, n_{\mathrm{syn+}}^{\gamma}\right)^{-\delta}"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, kappa: Values, gamma: Values, delta: Values,
) -> Array:  # fmt: skip
    """Accuracy a − b·(n_base + n_real_plus + κ·n_syn_plus^γ)^(−δ): one real image counts as one."""
    size = at_least_one(n_base + n_real_plus + kappa * power(n_syn_plus, gamma))
    return a - b * np.exp(-delta * np.log(size))


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, kappa: Values, gamma: Values, delta: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    size = at_least_one(n_base + n_real_plus + kappa * power(n_syn_plus, gamma))
    return power_law_gradient(size, n_syn_plus, b=b, kappa=kappa, gamma=gamma, delta=delta)


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess how steep the power law is and what a typical number of synthetic images is worth."""
    return power_law_starts(n_syn_plus, (0.01, 0.1, 1.0), (0.5, 1.0))


def equivalent(
    n_base: Values, n_real_plus: Values,
    *, a: Values, b: Values, kappa: Values, gamma: Values, delta: Values,
) -> Array:  # fmt: skip
    """Return the n_syn_plus worth n_real_plus: where κ·n_syn_plus^γ = n_real_plus."""
    with np.errstate(over="ignore", divide="ignore"):
        return np.asarray(np.power(np.divide(n_real_plus, kappa), 1.0 / gamma))
