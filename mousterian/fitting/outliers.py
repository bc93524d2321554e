"""Rows that no surface can explain: found, named with a reason, and set aside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from mousterian.fitting.surface import Array, Surface
from mousterian.fitting.table import COUNTS, Table

# Chance of flagging any sound row of a table.
_FALSE_ALARM = 0.01
# Median absolute deviations carry 37 % of the information of a standard deviation.
_EFFICIENCY = 0.37
# Rounding of published accuracies (a hundredth of a per cent) is never an outlier.
_LEAST_SCALE = 1e-4
# Where more rows than this share lie far off, trials have heavy tails; none of them is a mistake.
_MOST_FLAGGED = 0.1
# Surfaces whose usual residuals are at most this many times the best one's have a say.
_COMPARABLE = 3.0


@dataclass(frozen=True)
class Outliers:
    """Rows set aside, (R,) bool; how far off each row is, in usual residuals, (R,); and why, (R,)."""

    flagged: Array
    z: Array
    reasons: tuple[str, ...]


def residual_scale(residual: Array, spent: int) -> Array:
    """Return the scale of usual residuals (B, R), (B,): their median size, as a standard deviation."""
    count = residual.shape[-1]
    lost = np.sqrt(count / max(count - spent, 1))
    return np.asarray(np.maximum(1.4826 * lost * np.median(np.abs(residual), axis=-1), _LEAST_SCALE))


def find(table: Table, fits: list[tuple[Surface, Array, float]]) -> Outliers:
    """Return the rows that lie far off every surface that explains most rows about as well as the best.

    Args:
        table: the rows.
        fits: each surface with robust unknowns (P,) and the scale of its usual residuals.
    """
    best = min(scale for _, _, scale in fits)
    count = len(table.rows)
    z, values = np.full(count, np.inf), np.zeros(count)
    far = np.ones(count, dtype=bool)
    for surface, unknowns, scale in fits:
        if scale > _COMPARABLE * best:
            continue
        fitted = table.of_rows(surface.accuracy(table.points, surface.bounded(unknowns)))
        deviation = (table.accuracy - fitted) / scale
        freedom = max((count - len(surface.parameters)) * _EFFICIENCY, 1.0)
        far &= np.abs(deviation) > stdtrit(freedom, 1 - _FALSE_ALARM / (2 * count))
        nearer = np.abs(deviation) < np.abs(z)
        z, values = np.where(nearer, deviation, z), np.where(nearer, fitted, values)
    if far.sum() > max(2.0, _MOST_FLAGGED * count):
        far[:] = False
    return Outliers(far, z, tuple(_reason(table, i, values[i]) if far[i] else "" for i in range(count)))


def _reason(table: Table, index: int, expected: float) -> str:
    rows = table.rows
    row = rows.iloc[index]
    said = f"{100 * row['accuracy']:.2f} % where the other rows lead one to expect {100 * expected:.1f} %"
    same = (rows["n_syn_plus"] == row["n_syn_plus"]) & (rows.index != index)
    size, sizes = float(row[list(COUNTS[:2])].sum()), rows[list(COUNTS[:2])].sum(axis=1)
    below, above = rows[same & (sizes < size)], rows[same & (sizes > size)]
    if len(above) and row["accuracy"] > above["accuracy"].max():
        return f"{said}; above every row with as many synthetic and more real images"
    if len(below) and row["accuracy"] < below["accuracy"].min():
        return f"{said}; below every row with as many synthetic and fewer real images"
    return said
