"""The weighted least-squares problem: one target per distinct point, whatever the number of rows there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from mousterian.fitting.surface import Array, Points, Sparse, Surface
from mousterian.fitting.table import Table

# Half, with room for rounding.
_HALF = 0.505
# Cells held out one at a time: of more, errors of this many tell the mean within 5 %.
_MOST_CELLS = 200


def stratified(count: int, most: int) -> Array:
    """Return the numbers below `count`; of more than `most`, one at random of each of `most` equal stretches.

    Rows and cells are in order of their counts, so that all sizes are there. Evenly spaced ones would, in a
    regular grid, all be of one kind.
    """
    if count <= most:
        return np.arange(count)
    ends = np.arange(most + 1) * count // most
    return np.random.default_rng(0).integers(ends[:-1], ends[1:])


@dataclass(frozen=True)
class Problem:
    """A table with the weight of each row, averaged over its U distinct points.

    Attributes:
        table: the rows.
        row_weights: weight of each row, (R,); 0 for those set aside.
        keep: rows that count, (R,) bool.
        points: the distinct points, (U,).
        weights: their summed weights, (U,).
        averaging: weight of each row in each point's target, (U, R); a target is `averaging @ accuracy`.
        pure_error: weighted sum of squares within points, which no surface can explain.
    """

    table: Table
    row_weights: Array
    keep: Array
    points: Points
    weights: Array
    averaging: Sparse
    pure_error: float

    @staticmethod
    def of(table: Table, row_weights: Array, keep: Array) -> Problem:
        """Average a table's rows over its distinct points."""
        of_readings = row_weights[table.row] * table.share
        count = table.points.n_base.size
        weights = np.bincount(table.at, of_readings, count)
        shares = of_readings / np.where(weights > 0, weights, 1.0)[table.at]
        averaging = csr_array((shares, (table.at, table.row)), shape=(count, len(table.rows)))
        misses = table.accuracy[table.row] - (averaging @ table.accuracy)[table.at]
        return Problem(
            table, row_weights, keep, table.points, weights, averaging, float((of_readings * misses**2).sum())
        )

    @property
    def target(self) -> Array:
        """Weighted mean accuracy at each point, (U,)."""
        return np.asarray(self.averaging @ self.table.accuracy)

    def without(self, out: Sparse) -> tuple[Array, Array]:
        """Return weights and targets of the points, (H, U) each, with H sets of rows held out, (H, R)."""
        parts = self.averaging.multiply(self.weights[:, None]).T
        weights = np.maximum(self.weights - (out @ parts).toarray(), 0.0)
        weights = np.where(weights > 1e-9 * self.weights, weights, 0.0)
        sums = self.target * self.weights - (out.multiply(self.table.accuracy) @ parts).toarray()
        targets = np.where(weights > 0, sums / np.where(weights > 0, weights, 1.0), 0.0)
        return weights, targets

    def each_cell(self) -> Sparse:
        """Return the rows of each cell, or of `_MOST_CELLS` of more, (H, R), ones and zeros."""
        rows = np.flatnonzero(self.keep)
        cells, at = np.unique(self.table.cell[rows], return_inverse=True)
        few = stratified(len(cells), _MOST_CELLS)
        number = np.full(len(cells), -1)
        number[few] = np.arange(len(few))
        number = number[at]
        found = number[number >= 0], rows[number >= 0]
        return csr_array((np.ones(len(found[0])), found), shape=(len(few), len(self.table.rows)))

    @cached_property
    def backtest(self) -> tuple[Sparse, Array]:
        """Return the rows that the back-test predicts from the smaller sizes.

        Returns:
            Rows with more than half of the most real images, and rows with more than half of the most
            synthetic ones at their base, (2, R), ones and zeros; and their logarithmic distance from the
            remaining rows, (2,), NaN where none remain.
        """
        rows = self.table.rows[self.keep]
        real, syn = rows["n_base"] + rows["n_real_plus"], rows["n_syn_plus"]
        out = np.zeros((2, len(self.table.rows)))
        distances = np.full(2, np.nan)
        large = real > _HALF * real.max()
        if (~large).any() and real[~large].max() > 0:
            out[0, rows.index[large]] = 1.0
            distances[0] = np.log(real.max() / real[~large].max())
        most = syn.groupby(rows["n_base"]).transform("max")
        large = (syn > 0) & (syn > _HALF * most)
        rest = syn.where(~large).groupby(rows["n_base"]).transform("max")
        tested = large & (rest > 0)
        if tested.any():
            out[1, rows.index[tested]] = 1.0
            distances[1] = float(np.log(most[tested] / rest[tested]).mean())
        return csr_array(out), distances


@dataclass(frozen=True)
class Information:
    """A surface linearised at its best unknowns: what the rows determine there.

    Attributes:
        basis: orthonormal basis of the tangent space in the rows' accuracies, (effective_parameters, R).
        leverage: of each row, (R,).
        effective_parameters: rank of the Jacobian: how many parameters the rows identify.
        standard_errors: of the unknowns for residuals of weighted variance 1, (P,); inf where unidentified.
        correlation: of the unknowns' errors, (P, P).
    """

    basis: Array
    leverage: Array
    effective_parameters: int
    standard_errors: Array
    correlation: Array


@dataclass(frozen=True)
class Fitted:
    """One surface at its best parameters.

    Attributes:
        surface: the surface.
        unknowns: best unknowns, (P,).
        theta: best parameters, (P,).
        values: fitted accuracy of each row, (R,).
        loss: weighted sum of squared residuals.
        information: the surface linearised there.
        standard_errors: of the unknowns, linearised, (P,); inf where unidentified.
        aicc: corrected Akaike information criterion; inf where there are too few rows.
        cv_rmse: root mean square error at held-out cells, a fraction.
        extrapolation_error: back-test: errors at the largest real sizes and synthetic amounts, predicted
            from the smaller ones, (2,).
        weight: share in the average.
    """

    surface: Surface
    unknowns: Array
    theta: Array
    values: Array
    loss: float
    information: Information
    standard_errors: Array
    aicc: float
    cv_rmse: float
    extrapolation_error: Array
    weight: float
