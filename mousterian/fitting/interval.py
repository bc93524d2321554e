"""A number with its 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mousterian.fitting.surface import Array

LEVEL = 0.95
# Significant digits of every saved number; a fresh fit rounds alike, so that both give the same answers.
DIGITS = 7


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval: floats, or arrays of one shape; ±inf if open, NaN if unknown."""

    estimate: Any
    low: Any
    high: Any

    @staticmethod
    def of_draws(
        estimate: Array, draws: Array, *, within: tuple[float, float] = (-math.inf, math.inf)
    ) -> Interval:
        """Return the percentile interval of draws (D, ...), widened to include the estimate (...)."""
        tail = (1 - LEVEL) / 2
        # No interpolation: between a finite and an infinite draw it would be meaningless.
        ordered = np.nan_to_num(draws, nan=np.inf, posinf=np.inf, neginf=-np.inf)
        low = np.quantile(ordered, tail, axis=0, method="lower")
        high = np.quantile(ordered, 1 - tail, axis=0, method="higher")
        bounds = [
            np.clip(value, *within)
            for value in (estimate, np.minimum(low, estimate), np.maximum(high, estimate))
        ]
        return Interval(*(float(value) if np.ndim(value) == 0 else value for value in bounds))

    def to_json(self) -> dict[str, float | None]:
        """Return {estimate, low, high}, None where not finite; for scalars only."""
        return {name: rounded(getattr(self, name)) for name in ("estimate", "low", "high")}

    @staticmethod
    def from_json(found: dict[str, float | None]) -> Interval:
        """Return what `to_json` gave."""
        fallback = {"estimate": math.nan, "low": -math.inf, "high": math.inf}
        return Interval(**{k: v if (v := found[k]) is not None else fallback[k] for k in fallback})


def rounded(value: float) -> float | None:
    """Round a number as it is saved; None where it is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def rounded_array(values: Array) -> Array:
    """Round an array as it is saved."""
    return np.char.mod(f"%.{DIGITS}g", values).astype(float)
