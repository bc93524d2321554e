"""A product of two power laws above a floor: each kind of image reduces the error that the other leaves."""

from __future__ import annotations

import math

import numpy as np

from mousterian.fitting.surfaces._sizes import Array, Values, at_least_one

BOUNDS = {
    "a": (0.0, 1.0),
    "b": (0.0, math.inf),
    "delta": (0.01, 3.0),
    "s": (0.0, math.inf),
    "eta": (0.0, 3.0),
}
LATEX = (
    r"a - b \left(n_{\mathrm{base}} + n_{\mathrm{real+}}\right)^{-\delta}"
    r" \left(1 + n_{\mathrm{syn+}}/s\right)^{-\eta}"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, delta: Values, s: Values, eta: Values,
) -> Array:  # fmt: skip
    """Accuracy a − b·(n_base + n_real_plus)^(−δ)·(1 + n_syn_plus/s)^(−η)."""
    real = np.log(at_least_one(n_base + n_real_plus))
    return np.asarray(a - b * np.exp(-delta * real - eta * np.log1p(n_syn_plus / s)))


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, delta: Values, s: Values, eta: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    real, syn = np.log(at_least_one(n_base + n_real_plus)), np.log1p(n_syn_plus / s)
    missing = np.exp(-delta * real - eta * syn)
    lost = b * missing
    return 1.0, -missing, lost * real, -lost * eta * n_syn_plus / (s * (s + n_syn_plus)), lost * syn


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess the exponents and the scale of synthetic images."""
    most = max(float(np.max(n_syn_plus)), 1.0)
    return [
        {"delta": delta, "s": share * most, "eta": eta}
        for delta in (0.2, 0.5, 1.0)
        for share in (0.001, 0.03, 0.3)
        for eta in (0.05, 0.3, 1.0)
    ]


def equivalent(
    n_base: Values, n_real_plus: Values,
    *, a: Values, b: Values, delta: Values, s: Values, eta: Values,
) -> Array:  # fmt: skip
    """Return the n_syn_plus worth n_real_plus: s·((1 + r_real)^(δ/η) − 1)."""
    grown = np.log(at_least_one(n_base + n_real_plus)) - np.log(at_least_one(n_base))
    with np.errstate(over="ignore", divide="ignore"):
        return np.asarray(s * np.expm1(np.divide(delta, eta) * grown))
