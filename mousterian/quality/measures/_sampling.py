"""Random subsets of images, with named seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mousterian.seeds import seed_for


def subsample(count: int, most: int, purpose: str, seed: int) -> NDArray[np.int64]:
    """Return at most `most` of the positions 0 to count - 1, drawn at random, in ascending order."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    random = np.random.default_rng(seed_for("quality", purpose, seed))
    return np.sort(random.choice(count, most, replace=False)).astype(np.int64)
