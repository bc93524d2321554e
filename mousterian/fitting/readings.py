"""What mixtures a table's rows are read as.

A row of real images alone applies to each smaller base as well: a base of n images is a base of m with n − m
real ones added. Where a table has no added real images at all (published tables list totals), such rows are
read at each base that has synthetic rows, and a row's weight is divided among its readings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mousterian.fitting.surface import Array, Points

if TYPE_CHECKING:
    import pandas as pd

# Bases at which rows are read, evenly picked of more, and fewer where points would be more than this: these
# would else grow with sizes × bases.
_MOST_BASES, _MOST_POINTS = 20, 20_000


def readings(rows: pd.DataFrame) -> tuple[Points, Array, Array, Array]:
    """Return the readings of rows in canonical order.

    Returns:
        The U distinct points; and of each of K readings, in the order of rows and then of points, its row,
        its point, and its share of the row's weight, (K,) each.
    """
    counts = rows[["n_base", "n_real_plus", "n_syn_plus"]].to_numpy(dtype=float)
    row, found = np.arange(len(counts)), counts
    if not counts[:, 1].any():
        bases = np.unique(counts[(counts[:, 2] > 0) & (counts[:, 0] > 0), 0])
        alone = np.flatnonzero(counts[:, 2] == 0)
        most = max(min(_MOST_BASES, _MOST_POINTS // max(len(np.unique(counts[alone, 0])), 1)), 1)
        if len(bases) > most:
            bases = bases[np.linspace(0, len(bases) - 1, most).round().astype(int)]
        of_alone, of_bases = np.nonzero(bases < counts[alone, :1])
        base, size = bases[of_bases], counts[alone[of_alone], 0]
        row = np.concatenate([row, alone[of_alone]])
        found = np.concatenate([found, np.stack([base, size - base, np.zeros(len(base))], axis=1)])
    points, at = np.unique(found, axis=0, return_inverse=True)
    order = np.lexsort((at, row))
    row, at = row[order], at[order]
    return Points(*points.T), row, at, 1.0 / np.bincount(row)[row]
