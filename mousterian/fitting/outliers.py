"""Outlier detection: rows that no surface explains, with reasons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from mousterian.fitting.columns import COUNTS
from mousterian.fitting.surface import Array, Surface
from mousterian.fitting.table import Table

# Family-wise false positive rate of a table.
_FALSE_ALARM = 0.01
# Efficiency of the median absolute deviation relative to the standard deviation.
_EFFICIENCY = 0.37
# Published accuracies are rounded to a hundredth of a per cent, which is never an outlier.
_LEAST_SCALE = 1e-4
# If a larger share of rows is far off, the trials are heavy-tailed and none is flagged.
_MOST_FLAGGED = 0.1
# Exponents of size that the spread may have, and the standard errors from which on it is taken to have any.
_STEEPEST, _CLEAR = 1.5, 2.0
# Rows, evenly picked, whose pairs estimate it.
_PAIRED = 400
# Surfaces are considered if their residual scale is at most so many times the best one's: where the evidence
# against a surface reaches the third number (nats), within the first two.
_COMPARABLE, _EVIDENCE = (1.5, 3.0), 20.0


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


def relative_spread(table: Table, residual: Array) -> Array:
    """Return how far each row's residual is expected to stray beside the others, (R,), its median 1.

    Small training sets scatter more. The spread is a power of the number of real images, whose exponent is
    Theil and Sen's: the median slope of ln|residual| between pairs of rows, which up to a quarter of the rows
    cannot bend. All ones where the slope is not clear.

    Args:
        table: the rows.
        residual: of each row, (R,).
    """
    rows = table.rows
    size = np.log(np.maximum((rows["n_base"] + rows["n_real_plus"]).to_numpy(dtype=float), 1.0))
    few = np.unique(np.linspace(0, len(size) - 1, min(len(size), _PAIRED)).round().astype(int))
    x, y = size[few], np.log(np.maximum(np.abs(residual[few]), _LEAST_SCALE))
    first, second = np.triu_indices(len(few), 1)
    apart = x[first] != x[second]
    if not apart.any():
        return np.ones(len(size))
    slope = float(np.median((y[second] - y[first])[apart] / (x[second] - x[first])[apart]))
    # The scatter of ln|residual| of a normal distribution is π/√8.
    error = np.pi / np.sqrt(8 * max(len(few) * float(np.var(x)), 1e-12))
    if abs(slope) < _CLEAR * error:
        return np.ones(len(size))
    return np.asarray(np.exp(np.clip(slope, -_STEEPEST, _STEEPEST) * (size - np.median(size))))


def find(table: Table, fits: list[tuple[Surface, Array]]) -> Outliers:
    """Flag the rows that are far off every surface that fits most rows about as well as the best.

    Args:
        table: the rows.
        fits: each surface with robust unknowns (P,).
    """
    count = len(table.rows)
    fitted = [table.of_rows(each.accuracy(table.points, each.bounded(unknowns))) for each, unknowns in fits]
    deviations = [
        (table.accuracy - values) / relative_spread(table, table.accuracy - values) for values in fitted
    ]
    parameters = [len(surface.parameters) for surface, _ in fits]
    scales = [float(residual_scale(each, p)) for each, p in zip(deviations, parameters, strict=True)]
    z, values = np.full(count, np.inf), np.zeros(count)
    far = np.ones(count, dtype=bool)
    kind = _kinds(table)
    for index in np.flatnonzero(np.array(scales) <= _comparable(table) * min(scales)):
        alike, alike_rows = _alike(table, kind, deviations[index])
        deviation = deviations[index] / np.maximum(scales[index], alike)
        rows = np.where(alike > scales[index], alike_rows, count - parameters[index])
        freedom, at = np.unique(np.maximum(rows * _EFFICIENCY, 1.0), return_inverse=True)
        far &= np.abs(deviation) > stdtrit(freedom, 1 - _FALSE_ALARM / (2 * count))[at]
        nearer = np.abs(deviation) < np.abs(z)
        z, values = np.where(nearer, deviation, z), np.where(nearer, fitted[index], values)
    if far.sum() > max(2.0, _MOST_FLAGGED * count):
        far[:] = False
    return Outliers(far, z, _reasons(table, far, values))


def _comparable(table: Table) -> float:
    """Return the largest ratio of a surface's residual scale to the best one's at which it is considered.

    A worse surface would hide errors. Over several subsets scatter is luck as much as error: none is too bad.
    """
    if table.levels.over_subsets:
        return _COMPARABLE[1]
    return float(np.clip(np.exp(_EVIDENCE / (_EFFICIENCY * len(table.rows))), *_COMPARABLE))


def _kinds(table: Table) -> Array:
    """Return a number for each row's ratios of added images to its base, equal ones alike, (R,)."""
    base, *added = (table.rows[name].to_numpy(dtype=float) for name in COUNTS)
    ratios = [np.round(each / np.maximum(base, 1.0), 2) for each in added]
    return np.unique(ratios, axis=1, return_inverse=True)[1].ravel()


def _alike(table: Table, kind: Array, residual: Array) -> tuple[Array, Array]:
    """Return the robust scale of residuals (R,) of the rows of each kind, and their number.

    Over several subsets luck varies, and most where much is added: a lucky subset is no outlier. 0 for fewer.
    """
    if not table.levels.over_subsets:
        return np.zeros(len(residual)), np.ones(len(residual))
    # About each cell's median, so that a surface's misfit does not count as luck.
    off = residual - pd.Series(residual).groupby(table.cell).transform("median").to_numpy()
    scale = 1.4826 * pd.Series(np.abs(off)).groupby(kind).transform("median").to_numpy()
    return np.maximum(scale, _LEAST_SCALE), np.bincount(kind)[kind]


def _reasons(table: Table, flagged: Array, expected: Array) -> tuple[str, ...]:
    """Return why each row is flagged, "" where it is not, from what the others predict, (R,)."""
    rows = table.rows[["n_syn_plus", "accuracy"]].assign(size=table.rows[list(COUNTS[:2])].sum(axis=1))
    # Of rows with as many synthetic images: the least accuracy at fewer real images, the most at more.
    ends = rows.groupby(["n_syn_plus", "size"])["accuracy"].agg(["min", "max"])
    below = ends["min"].groupby(level=0).cummin().groupby(level=0).shift(fill_value=-np.inf)
    above = ends["max"][::-1].groupby(level=0).cummax().groupby(level=0).shift(fill_value=np.inf)
    found = [""] * len(rows)
    for index in np.flatnonzero(flagged):
        synthetic, accuracy, size = rows.iloc[index]
        said = f"{100 * accuracy:.2f} % where the other rows predict {100 * expected[index]:.1f} %"
        if accuracy > above[synthetic, size]:
            said += "; above every row with as many synthetic and more real images"
        elif accuracy < below[synthetic, size]:
            said += "; below every row with as many synthetic and fewer real images"
        found[index] = said
    return tuple(found)
