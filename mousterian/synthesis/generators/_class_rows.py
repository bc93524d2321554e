"""The rows of each class, for generators that use given images with the classes in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def rows_by_class(labels: NDArray[Any], classes: int) -> list[NDArray[np.int64]]:
    """Return the rows of each class, in order."""
    return [np.flatnonzero(labels == label) for label in range(classes)]


def images_in_turn(by_class: Sequence[NDArray[np.int64]]) -> int:
    """Return how many images (i is of class i mod K) there are until a class runs out."""
    return min(len(rows) * len(by_class) + label for label, rows in enumerate(by_class))
