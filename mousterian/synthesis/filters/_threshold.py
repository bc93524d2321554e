"""Dropping a fraction of the lowest scores, separately in each block of the pool."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mousterian.errors import InputError


def all_but_lowest(scores: NDArray[np.float64], drop: float, block: int) -> NDArray[np.bool_]:
    """Return which scores (N,) to keep, (N,) bool, if the lowest fraction of every block is dropped.

    Raises:
        InputError: `drop` is not in [0, 1).
    """
    if not 0 <= drop < 1:
        raise InputError(f"drop must be from 0 to below 1, not {drop:g}", where="filter")
    keep = np.ones(len(scores), dtype=bool)
    for start in range(0, len(scores), block):
        part = scores[start : start + block]
        keep[start + np.argsort(part, kind="stable")[: round(drop * len(part))]] = False
    return keep
