"""Outlier detection: rows that no surface explains, with reasons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from mousterian.fitting.surface import Array, Surface
from mousterian.fitting.table import COUNTS, Table

# Family-wise false positive rate of a table.
_FALSE_ALARM = 0.01
# Efficiency of the median absolute deviation relative to the standard deviation.
_EFFICIENCY = 0.37
# Published accuracies are rounded to a hundredth of a per cent, which is never an outlier.
_LEAST_SCALE = 1e-4
# If a larger share of rows is far off, the trials are heavy-tailed and none is flagged.
_MOST_FLAGGED = 0.1
# Surfaces are considered if their residual scale is at most this many times the best one's.
_COMPARABLE = 3.0


@dataclass(frozen=True)
class Outliers:
    """Flagged rows, (R,) bool; robust z-score of each row, (R,); and the reasons, (R,)."""

    flagged: Array
    z: Array
    reasons: tuple[str, ...]


def residual_scale(residual: Array, effective_parameters: int) -> Array:
    """Return the robust scale of residuals (B, R), (B,): normalised median absolute residual."""
    count = residual.shape[-1]
    correction = np.sqrt(count / max(count - effective_parameters, 1))
    return np.asarray(np.maximum(1.4826 * correction * np.median(np.abs(residual), axis=-1), _LEAST_SCALE))


def find(table: Table, fits: list[tuple[Surface, Array, float]]) -> Outliers:
    """Flag the rows that are far off every surface that fits most rows about as well as the best.

    Args:
        table: the rows.
        fits: each surface with robust unknowns (P,) and its residual scale.
    """
    best = min(scale for _, _, scale in fits)
    count = len(table.rows)
    z, values = np.full(count, np.inf), np.zeros(count)
    far = np.ones(count, dtype=bool)
    for surface, unknowns, scale in fits:
        if scale > _COMPARABLE * best:
            continue
        fitted = table.of_rows(surface.accuracy(table.points, surface.bounded(unknowns)))
        residual = table.accuracy - fitted
        alike, alike_rows = _alike(table, residual)
        deviation = residual / np.maximum(scale, alike)
        rows = np.where(alike > scale, alike_rows, count - len(surface.parameters))
        freedom = np.maximum(rows * _EFFICIENCY, 1.0)
        far &= np.abs(deviation) > stdtrit(freedom, 1 - _FALSE_ALARM / (2 * count))
        nearer = np.abs(deviation) < np.abs(z)
        z, values = np.where(nearer, deviation, z), np.where(nearer, fitted, values)
    if far.sum() > max(2.0, _MOST_FLAGGED * count):
        far[:] = False
    return Outliers(far, z, tuple(_reason(table, i, values[i]) if far[i] else "" for i in range(count)))


def _alike(table: Table, residual: Array) -> tuple[Array, Array]:
    """Return the robust scale of residuals (R,) of rows with equal ratios of added images, and their number.

    Over several subsets luck varies, and most where much is added: a lucky subset is no outlier. 0 for fewer.
    """
    if not table.levels.over_subsets:
        return np.zeros(len(residual)), np.ones(len(residual))
    base, *added = (table.rows[name].to_numpy(dtype=float) for name in COUNTS)
    ratios = [np.round(each / np.maximum(base, 1.0), 2) for each in added]
    kind = np.unique(ratios, axis=1, return_inverse=True)[1].ravel()
    # About each cell's median, so that a surface's misfit does not count as luck.
    off = residual - pd.Series(residual).groupby(table.cell).transform("median").to_numpy()
    scales = [residual_scale(off[kind == each], 0) for each in range(kind.max() + 1)]
    return np.asarray(scales)[kind], np.bincount(kind)[kind]


def _reason(table: Table, index: int, expected: float) -> str:
    rows = table.rows
    row = rows.iloc[index]
    said = f"{100 * row['accuracy']:.2f} % where the other rows predict {100 * expected:.1f} %"
    same = (rows["n_syn_plus"] == row["n_syn_plus"]) & (rows.index != index)
    size, sizes = float(row[list(COUNTS[:2])].sum()), rows[list(COUNTS[:2])].sum(axis=1)
    below, above = rows[same & (sizes < size)], rows[same & (sizes > size)]
    if len(above) and row["accuracy"] > above["accuracy"].max():
        return f"{said}; above every row with as many synthetic and more real images"
    if len(below) and row["accuracy"] < below["accuracy"].min():
        return f"{said}; below every row with as many synthetic and fewer real images"
    return said
