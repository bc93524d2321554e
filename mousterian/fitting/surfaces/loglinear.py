"""Real gain linear in r_real, synthetic gain logarithmic: the surface of the papers' formula."""

from __future__ import annotations

import math

import numpy as np

from mousterian.fitting.surfaces._sizes import Array, Values, at_least_one, log_ratio, logistic

BOUNDS = {
    "a": (-math.inf, math.inf),
    "b": (0.0, math.inf),
    "alpha": (0.0, math.inf),
    "beta": (0.0, math.inf),
    "c": (0.0, math.inf),
    "log_g": (-math.inf, math.inf),
}
LATEX = (
    r"a + b \ln n_{\mathrm{base}} + \alpha\, r_{\mathrm{real}}"
    r" + \beta \ln\!\left(1 + \frac{r_{\mathrm{syn}}}{c\, e^{\log g\; n_{\mathrm{base}}}}\right)"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, alpha: Values, beta: Values, c: Values, log_g: Values,
) -> Array:  # fmt: skip
    """Accuracy a + b·ln(n_base) + α·r_real + β·ln(1 + r_syn/(c·exp(log_g·n_base))).

    Its equivalence is Eq. 1 of the mousterian paper, exactly: c is c, log_g is ln(g)/τ, and α/β is ln(h)/k.
    """
    base = at_least_one(n_base)
    gain = beta * np.logaddexp(0.0, log_ratio(n_syn_plus, base, c, log_g))
    return np.asarray(a + b * np.log(base) + alpha * (n_real_plus / base) + gain)


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, b: Values, alpha: Values, beta: Values, c: Values, log_g: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    base = at_least_one(n_base)
    ratio = log_ratio(n_syn_plus, base, c, log_g)
    slope = -beta * logistic(ratio)
    return 1.0, np.log(base), n_real_plus / base, np.logaddexp(0.0, ratio), slope / c, slope * base


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess where synthetic gain bends (c) and how that moves with the base size."""
    largest = float(np.max(n_base))
    return [{"c": c, "log_g": g / largest} for c in (0.05, 0.5, 5.0) for g in (-1.0, 0.0, 1.0, 3.0)]


def equivalent(
    n_base: Values, n_real_plus: Values,
    *, a: Values, b: Values, alpha: Values, beta: Values, c: Values, log_g: Values,
) -> Array:  # fmt: skip
    """Return the n_syn_plus worth n_real_plus: Eq. 1."""
    base = at_least_one(n_base)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        needed = np.expm1(np.divide(alpha, beta) * (n_real_plus / base))
        return base * c * np.exp(log_g * base) * needed
