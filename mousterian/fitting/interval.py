"""A number with its 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mousterian.fitting.surface import Array

LEVEL = 0.95
# Digits kept of every number that is saved, so that a saved fit answers as the fresh one does.
DIGITS = 7


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval: floats, or arrays of one shape; ±inf where open."""

    estimate: Any
    low: Any
    high: Any

    @staticmethod
    def of_draws(
        estimate: Array, draws: Array, *, within: tuple[float, float] = (-math.inf, math.inf)
    ) -> Interval:
        """Return the percentile interval of draws (D, ...), widened to hold the estimate (...)."""
        tail = (1 - LEVEL) / 2
        # No interpolation: between a finite draw and an infinite one there is no number that means anything.
        ordered = np.nan_to_num(draws, nan=np.inf, posinf=np.inf, neginf=-np.inf)
        low = np.quantile(ordered, tail, axis=0, method="lower")
        high = np.quantile(ordered, 1 - tail, axis=0, method="higher")
        bounds = [
            np.clip(value, *within)
            for value in (estimate, np.minimum(low, estimate), np.maximum(high, estimate))
        ]
        return Interval(*(float(value) if np.ndim(value) == 0 else value for value in bounds))

    def to_json(self) -> dict[str, float | None]:
        """Return {estimate, low, high}; null where not finite. For a single number only."""
        return {name: rounded(getattr(self, name)) for name in ("estimate", "low", "high")}

    @staticmethod
    def from_json(found: dict[str, float | None]) -> Interval:
        """Return what `to_json` gave."""
        fallback = {"estimate": math.nan, "low": -math.inf, "high": math.inf}
        return Interval(**{k: v if (v := found[k]) is not None else fallback[k] for k in fallback})


def rounded(value: float) -> float | None:
    """Return a number to the digits that are saved, or None where it is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def rounded_array(values: Array) -> Array:
    """Return an array to the digits that are saved."""
    return np.char.mod(f"%.{DIGITS}g", values).astype(float)
