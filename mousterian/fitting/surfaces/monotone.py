"""A smooth monotone surface without a scaling law: the nonparametric baseline for the others."""

from __future__ import annotations

import math

import numpy as np

from mousterian.fitting.surfaces._sizes import Array, Values, log_count, logistic

# It has no weight in answers; where it predicts held-out cells better, the others are misspecified.
NONPARAMETRIC = True
_WEIGHT, _RATE, _SIZE, _PLACE = (0.0, 2.0), (0.0, 10.0), (0.0, math.inf), (-math.inf, math.inf)
BOUNDS = {
    "a": (-math.inf, math.inf),
    "w1": _WEIGHT, "u1": _RATE, "v1": _RATE, "s1": _SIZE, "t1": _PLACE,
    "w2": _WEIGHT, "u2": _RATE, "v2": _RATE, "s2": _SIZE, "t2": _PLACE,
}  # fmt: skip
LATEX = (
    r"a + \sum_{k=1}^{2} w_k\, \sigma\!\left(u_k \ln(n_{\mathrm{base}} + n_{\mathrm{real+}})"
    r" + v_k \ln(1 + n_{\mathrm{syn+}}/s_k) - t_k\right)"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values, *, a: Values,
    w1: Values, u1: Values, v1: Values, s1: Values, t1: Values,
    w2: Values, u2: Values, v2: Values, s2: Values, t2: Values,
) -> Array:  # fmt: skip
    """Accuracy as a sum of two smooth steps, each rising with real and with synthetic images."""
    real = log_count(n_base + n_real_plus + 1.0)
    first = logistic(u1 * real + v1 * np.log1p(n_syn_plus / s1) - t1)
    return np.asarray(a + w1 * first + w2 * logistic(u2 * real + v2 * np.log1p(n_syn_plus / s2) - t2))


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values, *, a: Values,
    w1: Values, u1: Values, v1: Values, s1: Values, t1: Values,
    w2: Values, u2: Values, v2: Values, s2: Values, t2: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    real = log_count(n_base + n_real_plus + 1.0)
    return 1.0, *_step(real, n_syn_plus, (w1, u1, v1, s1, t1)), *_step(real, n_syn_plus, (w2, u2, v2, s2, t2))


def _step(real: Array, n_syn_plus: Values, parameters: tuple[Values, ...]) -> tuple[Array, ...]:
    w, u, v, s, t = parameters
    syn = np.log1p(n_syn_plus / s)
    share = logistic(u * real + v * syn - t)
    slope = w * share * (1.0 - share)
    return share, slope * real, slope * syn, -slope * v * n_syn_plus / (s * (s + n_syn_plus)), -slope


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess two steps, one at small and one at large sizes, of several widths."""
    real = np.log(n_base + n_real_plus + 1.0)
    low, high = float(real.min()), float(real.max())
    most = max(float(np.max(n_syn_plus)), 1.0)
    places = ((0.0, 0.5), (0.0, 1.0), (-0.5, 0.5))
    return [
        {
            "u1": u, "v1": v * u, "s1": share * most, "t1": u * (low + first * (high - low)),
            "u2": u, "v2": v * u, "s2": share * most, "t2": u * (low + second * (high - low)),
        }
        for u in (0.7, 1.5)
        for v in (0.3, 1.0)
        for share in (0.01, 0.2)
        for first, second in places
    ]  # fmt: skip
