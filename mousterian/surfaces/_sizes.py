"""What the surfaces' formulas share: their types, and sizes that are safe at zero images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A float, or an array that broadcasts (complex where the engine differentiates by complex step).
Values = float | NDArray[Any]
Array = NDArray[Any]


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
