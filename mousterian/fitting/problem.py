"""A weighted table as least squares sees it: one target a point, however many rows were measured there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mousterian.fitting.surface import Array, Points
from mousterian.fitting.table import Table


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

    def without_each_cell(self) -> tuple[Array, Array, Array]:
        """Return the problem without each of its C cells.

        Returns:
            Which rows are out (C, R), and the points' weights and targets without them (C, U).
        """
        cells = np.unique(self.table.cell[self.keep])
        out = (self.table.cell[None, :] == cells[:, None]) & self.keep
        parts = self.gathering * self.weights[:, None]
        weights = np.maximum(self.weights - out @ parts.T, 0.0)
        weights = np.where(weights > 1e-9 * self.weights, weights, 0.0)
        sums = self.target * self.weights - (out * self.table.accuracy) @ parts.T
        return out, weights, np.where(weights > 0, sums / np.where(weights > 0, weights, 1.0), 0.0)
