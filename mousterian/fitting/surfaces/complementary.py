"""Effective data in which real and synthetic images complement each other, between 0 and a ceiling."""

from __future__ import annotations

import math

import numpy as np

from mousterian.fitting.surfaces._sizes import Array, Values, at_least_one, log_count, logistic

BOUNDS = {
    "a": (0.0, 1.0),
    "n_half": (0.0, math.inf),
    "kappa": (0.0, math.inf),
    "gamma": (0.0, 1.5),
    "delta": (0.01, 5.0),
    "p": (0.05, 2.0),
}
LATEX = (
    r"\frac{a}{1 + \left(n_{1/2}/n\right)^{\delta}},"
    r" \quad n = \left(\left(n_{\mathrm{base}} + n_{\mathrm{real+}}\right)^{p}"
    r" + \left(\kappa\, n_{\mathrm{syn+}}^{\gamma}\right)^{p}\right)^{1/p}"
)


def accuracy(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, n_half: Values, kappa: Values, gamma: Values, delta: Values, p: Values,
) -> Array:  # fmt: skip
    """Accuracy a/(1 + (n_half/n)^δ) with n = ((n_base + n_real_plus)^p + (κ·n_syn_plus^γ)^p)^(1/p).

    At p = 1 effective data are additive; below it the two kinds together are worth more than their sum.
    """
    size, _ = _size(np.log(at_least_one(n_base + n_real_plus)), n_syn_plus, (kappa, gamma, p))
    return np.asarray(a * logistic(delta * (size - np.log(n_half))))


def _size(real: Array, n_syn_plus: Values, parameters: tuple[Values, Values, Values]) -> tuple[Array, Array]:
    """Return the logarithm of effective data and the share of synthetic images in its p-th power."""
    kappa, gamma, p = parameters
    with np.errstate(divide="ignore"):
        apart = np.log(kappa) + gamma * np.log(n_syn_plus) - real
    return real + np.logaddexp(0.0, p * apart) / p, logistic(p * apart)


def gradient(
    n_base: Values, n_real_plus: Values, n_syn_plus: Values,
    *, a: Values, n_half: Values, kappa: Values, gamma: Values, delta: Values, p: Values,
) -> tuple[Values, ...]:  # fmt: skip
    """Return the derivative by each parameter, in order."""
    real, log_syn = np.log(at_least_one(n_base + n_real_plus)), log_count(n_syn_plus)
    size, of_syn = _size(real, n_syn_plus, (kappa, gamma, p))
    odds = size - np.log(n_half)
    share = logistic(delta * odds)
    slope = a * share * (1.0 - share)
    by_syn = slope * delta * of_syn
    apart = np.log(kappa) + gamma * log_syn - real
    by_p = by_syn * apart / p - slope * delta * (size - real) / p
    return share, -slope * delta / n_half, by_syn / kappa, by_syn * log_syn, slope * odds, by_p


def starts(n_base: Array, n_real_plus: Array, n_syn_plus: Array) -> list[dict[str, float]]:
    """Guess where half the ceiling is reached, how steeply, and what synthetic images are worth."""
    real, added = at_least_one(n_base + n_real_plus), n_syn_plus[n_syn_plus > 0]
    typical = float(np.median(added)) if added.size else 1.0
    return [
        {
            "n_half": half * float(np.median(real)),
            "kappa": worth * typical ** (1.0 - gamma),
            "gamma": gamma,
            "delta": delta,
            "p": p,
        }
        for half in (0.03, 0.3, 1.0)
        for worth in (0.01, 0.1, 1.0)
        for gamma in (0.5, 1.0)
        for delta in (0.4, 1.0)
        for p in (0.4, 1.0)
    ]


def equivalent(
    n_base: Values, n_real_plus: Values,
    *, a: Values, n_half: Values, kappa: Values, gamma: Values, delta: Values, p: Values,
) -> Array:  # fmt: skip
    """Return the n_syn_plus worth n_real_plus: where (κ·n_syn_plus^γ)^p is what real images add to n^p."""
    base = np.log(at_least_one(n_base))
    grown = np.log(at_least_one(n_base + n_real_plus)) - base
    with np.errstate(over="ignore", divide="ignore"):
        worth = base + np.log(np.expm1(p * grown)) / p
        return np.asarray(np.exp((worth - np.log(kappa)) / gamma))
