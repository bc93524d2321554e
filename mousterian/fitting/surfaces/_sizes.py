"""What the surfaces' formulas share: sizes that are safe at zero images, and derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mousterian.fitting import kinds

Values = kinds.Values
Array = kinds.Array


def at_least_one(count: Values) -> Array:
    """Count less than one image as one, so that logarithms and negative powers exist at zero."""
    return np.maximum(count, 1.0)


def log_count(count: Values) -> Array:
    """Return the logarithm of a count; that of next to nothing at zero images."""
    return np.log(np.maximum(count, 1e-30))


def power(count: Values, exponent: Values) -> Array:
    """Return count**exponent; 0 at zero images."""
    return np.where(np.greater(count, 0), np.exp(exponent * log_count(count)), 0.0)


def log_ratio(n_syn_plus: Values, base: Values, c: Values, log_g: Values) -> Array:
    """Return ln(r_syn/(c·exp(log_g·base))); -inf at zero synthetic images."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(n_syn_plus) - np.log(base) - np.log(c) - log_g * base)


def logistic(x: Values) -> Array:
    """Return 1/(1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(x))))


def power_law_gradient(
    size: Values, n_syn_plus: Values, *, b: Values, kappa: Values, gamma: Values, delta: Values
) -> tuple[Values, Values, Values, Values, Values]:
    """Return the derivatives of a − b·size^(−δ) by a, b, κ, γ and δ, where size grows by κ·n_syn_plus^γ."""
    log_size = np.log(size)
    missing = np.exp(-delta * log_size)
    by_kappa = b * delta * missing / size * power(n_syn_plus, gamma)
    return 1.0, -missing, by_kappa, by_kappa * kappa * log_count(n_syn_plus), b * missing * log_size


def power_law_starts(
    n_syn_plus: Array, worths: Sequence[float], gammas: Sequence[float]
) -> list[dict[str, float]]:
    """Return guesses of κ, γ and δ by what a typical number of synthetic images is worth, each."""
    added = n_syn_plus[n_syn_plus > 0]
    typical = float(np.median(added)) if added.size else 1.0
    return [
        {"kappa": worth * typical ** (1.0 - gamma), "gamma": gamma, "delta": delta}
        for worth in worths
        for gamma in gammas
        for delta in (0.2, 0.5, 1.0)
    ]
