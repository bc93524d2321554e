"""A weighted table as least squares sees it: one target a point, however many rows were measured there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mousterian.fitting.surface import Array, Points, Surface
from mousterian.fitting.table import Table

# Half, with room for rounding.
_HALF = 0.505


@dataclass(frozen=True)
class Problem:
    """A table with the weight of each row, gathered at its U distinct points.

    Attributes:
        table: the rows.
        row_weights: weight of each row, (R,); 0 for those set aside.
        keep: rows that count, (R,) bool.
        points: the distinct points, (U,).
        weights: their summed weights, (U,).
        gathering: what each row adds to each point's target, (U, R); a target is `gathering @ accuracy`.
        scattered: weighted squares within points, which no surface can explain.
    """

    table: Table
    row_weights: Array
    keep: Array
    points: Points
    weights: Array
    gathering: Array
    scattered: float

    @staticmethod
    def of(table: Table, row_weights: Array, keep: Array) -> Problem:
        """Gather a table's rows."""
        places, at = np.unique(np.stack(table.points.counts, axis=1), axis=0, return_inverse=True)
        summed = np.zeros((len(places), len(table.rows)))
        np.add.at(summed, (at, table.row), row_weights[table.row] * table.share)
        weights = summed.sum(axis=1)
        gathering = summed / np.where(weights > 0, weights, 1.0)[:, None]
        misses = table.accuracy[None, :] - (gathering @ table.accuracy)[:, None]
        return Problem(
            table, row_weights, keep, Points(*places.T), weights, gathering, float((summed * misses**2).sum())
        )

    @property
    def target(self) -> Array:
        """Weighted mean accuracy at each point, (U,)."""
        return np.asarray(self.gathering @ self.table.accuracy)

    def without(self, out: Array) -> tuple[Array, Array]:
        """Return weights and targets of the points, (C, U) each, without some rows, (C, R) bool."""
        parts = self.gathering * self.weights[:, None]
        weights = np.maximum(self.weights - out @ parts.T, 0.0)
        weights = np.where(weights > 1e-9 * self.weights, weights, 0.0)
        sums = self.target * self.weights - (out * self.table.accuracy) @ parts.T
        targets = np.where(weights > 0, sums / np.where(weights > 0, weights, 1.0), 0.0)
        return weights, targets

    def each_cell(self) -> Array:
        """Return which rows each of the C cells has, (C, R) bool."""
        cells = np.unique(self.table.cell[self.keep])
        return np.asarray((self.table.cell[None, :] == cells[:, None]) & self.keep)

    @cached_property
    def largest(self) -> tuple[Array, Array]:
        """Return the rows to foretell from the smaller ones.

        Returns:
            Those with more than half the most real images, and those with more than half the most synthetic
            ones at their base, (2, R) bool; and how far they lie from the rest, in logarithms, (2,). NaN
            where there is no rest.
        """
        rows = self.table.rows[self.keep]
        real, syn = rows["n_base"] + rows["n_real_plus"], rows["n_syn_plus"]
        out = np.zeros((2, len(self.table.rows)), dtype=bool)
        distances = np.full(2, np.nan)
        large = real > _HALF * real.max()
        if (~large).any() and real[~large].max() > 0:
            out[0, rows.index[large]] = True
            distances[0] = np.log(real.max() / real[~large].max())
        most = syn.groupby(rows["n_base"]).transform("max")
        large = (syn > 0) & (syn > _HALF * most)
        rest = syn.where(~large).groupby(rows["n_base"]).transform("max")
        tested = large & (rest > 0)
        if tested.any():
            out[1, rows.index[tested]] = True
            distances[1] = float(np.log(most[tested] / rest[tested]).mean())
        return out, distances


@dataclass(frozen=True)
class Information:
    """What a table tells at a fit.

    Attributes:
        basis: of what the fit can follow: orthonormal directions of the rows' accuracies, (spent, R).
        leverage: of each row, (R,).
        spent: parameters that the table can tell apart.
        spread: standard error of each unknown for residuals of weighted variance 1, (P,); inf where not told.
        correlation: of the unknowns' errors, (P, P).
    """

    basis: Array
    leverage: Array
    spent: int
    spread: Array
    correlation: Array


@dataclass(frozen=True)
class Fitted:
    """One surface at its best parameters.

    Attributes:
        surface: which.
        unknowns: best unknowns, (P,).
        theta: best parameters, (P,).
        values: fitted accuracy of each row, (R,).
        loss: weighted sum of squared residuals.
        told: what the table tells there.
        spread: standard error of each unknown, linearised, (P,); inf where the table tells nothing.
        aicc: Akaike's criterion, corrected for few rows; inf where there are too few.
        cv_rmse: root mean square error at cells left out, a fraction.
        foretold: errors at the largest real sizes and synthetic amounts, told from the rest, (2,).
        weight: share in the average.
    """

    surface: Surface
    unknowns: Array
    theta: Array
    values: Array
    loss: float
    told: Information
    spread: Array
    aicc: float
    cv_rmse: float
    foretold: Array
    weight: float
