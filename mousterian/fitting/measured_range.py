"""The measured range: the distance of a point from it, and the nearest point inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mousterian.errors import InputError
from mousterian.fitting.surface import Array, Points

Trust = Literal["inside", "near", "extrapolated"]
# Answers up to this factor beyond the measured range are "near".
_NEAR = 2.0
# Tolerance for rounding and for bases that differ by an image or two.
_SLACK = 1.05
# Distance of everything from an empty range.
_FAR = float(np.log(1e4))


def refuse_impossible(**counts: Any) -> None:
    """Raise InputError for the first count (number or array) that is negative or not finite."""
    for name, given in counts.items():
        values = np.asarray(given, dtype=float)
        wrong = ~(np.isfinite(values) & (values >= 0))
        if wrong.any():
            bad = float(values[wrong].flat[0])
            raise InputError(f"{name} is {bad:g}; it must be a finite number and not negative")


@dataclass(frozen=True)
class MeasuredRange:
    """The range of a table, in natural logarithms of counts (0 counts as 1).

    Attributes:
        real: least and most real images (base and added).
        bases: base sizes with synthetic images, ascending, (N,).
        synthetic: most synthetic images measured at each, (N,).
    """

    real: tuple[float, float]
    bases: Array
    synthetic: Array

    @staticmethod
    def of(rows: pd.DataFrame) -> MeasuredRange:
        """Return the range of the rows, outliers excluded."""
        rows = rows[~rows["outlier"].to_numpy(dtype=bool)]
        real = _log(rows["n_base"] + rows["n_real_plus"])
        most = rows[rows["n_syn_plus"] > 0].groupby("n_base")["n_syn_plus"].max()
        return MeasuredRange((float(real.min()), float(real.max())), _log(most.index), _log(most))

    def distance(self, points: Points) -> tuple[Array, Array]:
        """Return the points' logarithmic distances from the range, in real and in synthetic images."""
        real = _log(points.n_base + points.n_real_plus)
        in_real = np.maximum(np.maximum(real - self.real[1], self.real[0] - real), 0.0)
        with_syn = points.n_syn_plus > 0
        if not self.bases.size:
            return in_real, np.where(with_syn, _FAR, 0.0)
        base = _log(points.n_base)
        aside = np.maximum(np.maximum(base - self.bases[-1], self.bases[0] - base), 0.0)
        above = _log(points.n_syn_plus) - np.interp(base, self.bases, self.synthetic)
        in_syn = np.where(with_syn, np.maximum(np.maximum(aside, above), 0.0), 0.0)
        return in_real, np.minimum(in_syn, _FAR)

    def nearest(self, points: Points) -> Points:
        """Return the nearest points inside the range."""
        least, most = np.exp(self.real)
        n_base, n_real = points.n_base, points.n_real_plus
        with_syn = points.n_syn_plus > 0
        if self.bases.size:
            low, high = np.exp(self.bases[[0, -1]])
            n_base = np.where(with_syn, np.clip(n_base, np.where(low > 1.0, low, 0.0), high), n_base)
        n_base = np.minimum(n_base, most)
        n_real = np.minimum(n_real, most - n_base)
        # Too few real images: enlarge the base, which is equivalent to adding real images.
        n_base = n_base + np.maximum(np.where(least > 1.0, least, 0.0) - n_base - n_real, 0.0)
        limit = np.exp(np.interp(_log(n_base), self.bases, self.synthetic)) if self.bases.size else 0.0
        return Points(n_base, n_real, np.minimum(points.n_syn_plus, limit))

    def trust(self, n_base: float, n_real_plus: float, n_syn_plus: float) -> Trust:
        """Return whether a point is inside the measured range, near it (within a factor of 2), or beyond."""
        if not np.isfinite([n_base, n_real_plus, n_syn_plus]).all():
            return "extrapolated"
        distance = max(float(part[0]) for part in self.distance(Points.of([n_base], n_real_plus, n_syn_plus)))
        return (
            "inside"
            if distance <= np.log(_SLACK)
            else "near"
            if distance <= np.log(_NEAR)
            else "extrapolated"
        )


def _log(count: Any) -> Array:
    return np.asarray(np.log(np.maximum(np.asarray(count, dtype=float), 1.0)))
