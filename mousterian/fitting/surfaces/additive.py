"""Two additive power laws: one error term falls with real images, one with synthetic ones, above a floor."""

from __future__ import annotations

import math

import numpy as np

from mousterian.fitting.surfaces._sizes import Array, Values, at_least_one

BOUNDS = {
    "a": (0.0, 1.0),
    "b": (0.0, math.inf),
    "delta": (0.01, 3.0),
    "d": (0.0, math.inf),
    "s": (0.0, math.inf),
    "eta": (0.01, 3.0),
}
LATEX = (
    r"a - b \left(n_{\mathrm{base}} + n_{\mathrm{real+}}\right)^{-\delta}"
    r" - d \left(1 + n_{\mathrm{syn+}}/s\right)^{-\eta}"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, delta: Values, d: Values, s: Values, eta: Values,
) -> Array:  # fmt: skip
    """Accuracy a − b·(n_base + n_real_plus)^(−δ) − d·(1 + n_syn_plus/s)^(−η).

    Synthetic images correct errors of their own (at most d), whatever the number of real images.
    """
    real = np.exp(-delta * np.log(at_least_one(n_base + n_real_plus)))
    return np.asarray(a - b * real - d * np.exp(-eta * np.log1p(n_syn_plus / s)))


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, delta: Values, d: Values, s: Values, eta: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    log_real, log_syn = np.log(at_least_one(n_base + n_real_plus)), np.log1p(n_syn_plus / s)
    real, syn = np.exp(-delta * log_real), np.exp(-eta * log_syn)
    by_s = -d * eta * syn * n_syn_plus / (s * (s + n_syn_plus))
    return 1.0, -real, b * real * log_real, -syn, by_s, d * syn * log_syn


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess the exponents and the scale of synthetic images."""
    most = max(float(np.max(n_syn_plus)), 1.0)
    return [
        {"delta": delta, "s": share * most, "eta": eta}
        for delta in (0.2, 0.5, 1.0)
        for share in (0.01, 0.1, 1.0)
        for eta in (0.2, 0.7, 2.0)
    ]


def equivalent(
    n_base: Values, n_real_plus: Values,
    *, a: Values, b: Values, delta: Values, d: Values, s: Values, eta: Values,
) -> Array:  # fmt: skip
    """Return the n_syn_plus worth n_real_plus; inf where real images correct more than d."""
    before, after = (np.exp(-delta * np.log(at_least_one(n))) for n in (n_base, n_base + n_real_plus))
    share = np.divide(b * (before - after), d)
    with np.errstate(over="ignore"):
        needed = s * np.expm1(-np.log1p(-np.minimum(share, 1.0 - 1e-16)) / eta)
    return np.where(share < 1.0, needed, np.inf)
