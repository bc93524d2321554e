"""What every filter is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mousterian.errors import InputError
from mousterian.images import ImageSet


class Scores(NamedTuple):
    """What a filter says of N images.

    Attributes:
        keep: (N,) bool.
        score: (N,) float; the higher, the better kept.
    """

    keep: NDArray[np.bool_]
    score: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Context:
    """What a filter may look at beside the images that it scores and the real ones.

    A pool that grows is scored piece by piece. So that a smaller pool stays the beginning of a larger one,
    an image's score must follow from itself, the images before it, and those of its own block.

    Attributes:
        device: torch device name.
        data_dir: folder of the datasets; None for the default.
        block: images of a block; the first of those that are scored begins one.
        earlier: gives the images of the pool before those that are scored; None if there are none.
        test: gives the dataset's test images. Only to keep copies of them out of training: nothing else may
            be chosen by them.
    """

    device: str
    data_dir: Path | None
    block: int
    earlier: Callable[[], ImageSet | None]
    test: Callable[[], ImageSet]


def all_but_lowest(scores: NDArray[np.float64], drop: float, block: int) -> NDArray[np.bool_]:
    """Return which scores (N,) to keep, (N,) bool, when the lowest share of every block is dropped.

    Raises:
        InputError: the share is not from 0 to below 1.
    """
    if not 0 <= drop < 1:
        raise InputError(f"drop must be from 0 to below 1, not {drop:g}", where="filter")
    keep = np.ones(len(scores), dtype=bool)
    for start in range(0, len(scores), block):
        part = scores[start : start + block]
        keep[start + np.argsort(part, kind="stable")[: round(drop * len(part))]] = False
    return keep
