"""How far an answer lies from what was measured."""

from __future__ import annotations

import math
from typing import Literal

import pandas as pd

Trust = Literal["inside", "near", "extrapolated"]
# Answers up to this many times past the measured range are "near".
_NEAR = 2.0
# Room for rounding and for bases that differ by an image or two.
_SLACK = 1.05


def verdict(rows: pd.DataFrame, n_base: float, n_real_plus: float, n_syn_plus: float) -> Trust:
    """Say whether a point lies inside the measured range, near it, or beyond.

    A point is as far out as its farthest coordinate: base size, real images in all, synthetic images per
    base image, each by its factor past the least or most that was measured.
    """
    rows = rows[~rows["outlier"].to_numpy(dtype=bool)]
    bases = rows.loc[rows["n_syn_plus"] > 0, "n_base"] if n_syn_plus else rows["n_base"]
    if bases.empty or (n_syn_plus and n_base <= 0):
        return "extrapolated"
    past = max(
        _past(n_base, float(bases.min()), float(bases.max())),
        _past(n_base + n_real_plus, 0.0, float((rows["n_base"] + rows["n_real_plus"]).max())),
        _past(n_syn_plus, 0.0, _most_synthetic(rows, n_base)),
    )
    return "inside" if past <= _SLACK else "near" if past <= _NEAR else "extrapolated"


def _past(value: float, least: float, most: float) -> float:
    """Return the factor by which a value lies past its range; at most 1 inside it."""
    over = value / most if most else (math.inf if value else 0.0)
    under = least / value if value else (math.inf if least else 0.0)
    return max(over, under)


def _most_synthetic(rows: pd.DataFrame, n_base: float) -> float:
    """Return the most synthetic images measured at this base, between the measured bases around it."""
    most = rows[rows["n_syn_plus"] > 0].groupby("n_base")["n_syn_plus"].max()
    if most.empty:
        return 0.0
    below, above = most[most.index <= n_base], most[most.index >= n_base]
    if below.empty or above.empty:
        return float(most.iloc[0] if below.empty else most.iloc[-1])
    left, right = float(below.index[-1]), float(above.index[0])
    if left in (right, 0.0):
        return float(above.iloc[0])
    share = math.log(n_base / left) / math.log(right / left)
    return float(below.iloc[-1] ** (1 - share) * above.iloc[0] ** share)
