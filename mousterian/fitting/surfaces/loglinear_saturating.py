"""The papers' formula on a saturating base curve: every gain shrinks as the base grows."""

from __future__ import annotations

import math

import numpy as np

from mousterian.fitting.surfaces._sizes import Array, Values, at_least_one, log_ratio, logistic

BOUNDS = {
    "a": (0.0, 1.0),
    "b": (0.0, math.inf),
    "tau": (0.0, math.inf),
    "alpha": (0.0, math.inf),
    "beta": (0.0, math.inf),
    "c": (0.0, math.inf),
    "log_g": (-math.inf, math.inf),
}
LATEX = (
    r"a - e^{-n_{\mathrm{base}}/\tau} \left(b - \alpha\, r_{\mathrm{real}} - \beta \ln\!\left("
    r"1 + \frac{r_{\mathrm{syn}}}{c\, e^{\log g\; n_{\mathrm{base}}}}\right)\right)"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, tau: Values, alpha: Values, beta: Values, c: Values, log_g: Values,
) -> Array:  # fmt: skip
    """Accuracy a − exp(−n_base/τ)·(b − α·r_real − β·ln(1 + r_syn/(c·exp(log_g·n_base)))).

    Its equivalence is Eq. 1 of the mousterian paper, exactly; τ fitted to the real-only rows of that paper's
    Table 3 is close to the 15571.2 printed there.
    """
    base = at_least_one(n_base)
    gain = alpha * (n_real_plus / base) + beta * np.logaddexp(0.0, log_ratio(n_syn_plus, base, c, log_g))
    return np.asarray(a - np.exp(-n_base / tau) * (b - gain))


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, tau: Values, alpha: Values, beta: Values, c: Values, log_g: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    base = at_least_one(n_base)
    r_real, ratio = n_real_plus / base, log_ratio(n_syn_plus, base, c, log_g)
    bend, room = np.logaddexp(0.0, ratio), np.exp(-n_base / tau)
    by_tau = -room * (b - alpha * r_real - beta * bend) * n_base / tau**2
    slope = -beta * room * logistic(ratio)
    return 1.0, -room, by_tau, room * r_real, room * bend, slope / c, slope * base


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess the base curve's size (τ), where synthetic gain bends (c) and how that moves with the base."""
    largest = float(np.max(n_base))
    return [
        {"tau": tau * largest, "c": c, "log_g": g / largest}
        for tau in (0.15, 0.5, 2.0)
        for c in (0.05, 0.5, 5.0)
        for g in (-1.0, 0.0, 1.0, 3.0)
    ]


def equivalent(
    n_base: Values, n_real_plus: Values,
    *, a: Values, b: Values, tau: Values, alpha: Values, beta: Values, c: Values, log_g: Values,
) -> Array:  # fmt: skip
    """Return the n_syn_plus worth n_real_plus: Eq. 1."""
    base = at_least_one(n_base)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        needed = np.expm1(np.divide(alpha, beta) * (n_real_plus / base))
        return np.asarray(base * c * np.exp(log_g * base) * needed)
