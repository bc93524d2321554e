"""A power law in effective data with a bounded contribution of synthetic images."""

from __future__ import annotations

import math

import numpy as np

from mousterian.fitting.surfaces._sizes import Array, Values, at_least_one

BOUNDS = {
    "a": (0.0, 1.0),
    "b": (0.0, math.inf),
    "kappa": (0.0, math.inf),
    "s": (0.0, math.inf),
    "delta": (0.01, 3.0),
}
LATEX = (
    r"a - b \left(n_{\mathrm{base}} + n_{\mathrm{real+}}"
    r" + \kappa \left(1 - e^{-n_{\mathrm{syn+}}/s}\right)\right)^{-\delta}"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, kappa: Values, s: Values, delta: Values,
) -> Array:  # fmt: skip
    """Accuracy a − b·(n_base + n_real_plus + κ·(1 − exp(−n_syn_plus/s)))^(−δ).

    Synthetic images are worth at most κ real ones, however many there are.
    """
    size = at_least_one(n_base + n_real_plus - kappa * np.expm1(-n_syn_plus / s))
    return np.asarray(a - b * np.exp(-delta * np.log(size)))


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, kappa: Values, s: Values, delta: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    left = np.exp(-n_syn_plus / s)
    size = at_least_one(n_base + n_real_plus + kappa * (1.0 - left))
    log_size = np.log(size)
    missing = np.exp(-delta * log_size)
    slope = b * delta * missing / size
    return (
        1.0,
        -missing,
        slope * (1.0 - left),
        -slope * kappa * left * n_syn_plus / s**2,
        b * missing * log_size,
    )


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess the ceiling, the number of images that approaches it, and the exponent."""
    typical, most = float(np.median(n_base + n_real_plus)), max(float(np.max(n_syn_plus)), 1.0)
    return [
        {"kappa": worth * typical, "s": share * most, "delta": delta}
        for worth in (0.05, 0.5, 5.0)
        for share in (0.05, 0.3, 2.0)
        for delta in (0.2, 0.5, 1.0)
    ]


def equivalent(
    n_base: Values, n_real_plus: Values,
    *, a: Values, b: Values, kappa: Values, s: Values, delta: Values,
) -> Array:  # fmt: skip
    """Return the n_syn_plus worth n_real_plus; inf from κ real images on."""
    share = np.divide(n_real_plus, kappa)
    return np.where(share < 1.0, -s * np.log1p(-np.minimum(share, 1.0 - 1e-16)), np.inf)
