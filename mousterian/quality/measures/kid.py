"""Kernel inception distance between features of synthetic and real images (Bińkowski et al. 2018)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext
from mousterian.seeds import seed_for


def measure(
    pool: ImageSet,
    real: ImageSet,
    test: ImageSet,
    context: MeasureContext,
    *,
    features: str = "",
    subsets: int = 50,
    subset_size: int = 1000,
) -> dict[str, float]:
    """Unbiased squared maximum mean discrepancy with kernel (x·y/D + 1)³; comparable across pool sizes.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: its test images.
        context: feature spaces and seed.
        features: feature space; empty: that of the command.
        subsets: pairs of subsets that the distance is averaged over.
        subset_size: images per subset, at most all.

    Returns:
        kid, kid_spread (standard deviation over the subsets), kid_of_test; lower is better (slightly below 0
        is possible).
    """
    if subsets < 1 or subset_size < 2:
        raise InputError("subsets must be at least 1, and subset_size 2", where="kid")
    of_real = context.features(real, features)
    values = distances(context.features(pool, features), of_real, subsets, subset_size, context.seed)
    of_test = distances(context.features(test, features), of_real, subsets, subset_size, context.seed)
    return {
        "kid": float(values.mean()),
        "kid_spread": float(values.std()),
        "kid_of_test": float(of_test.mean()),
    }


def distances(
    one: NDArray[np.float32], other: NDArray[np.float32], subsets: int, size: int, seed: int
) -> NDArray[np.float64]:
    """Return the distances between random subsets of features (N, D) and (M, D): (subsets,) float64."""
    random = np.random.default_rng(seed_for("quality", "kid", seed))
    size = min(size, len(one), len(other))
    if size < 2:
        raise InputError("a kernel distance needs at least two images", hint="measure more of the pool")
    found = []
    for _ in range(subsets):
        x, y = (part[random.choice(len(part), size, replace=False)] for part in (one, other))
        found.append(squared_discrepancy(x.astype(np.float64), y.astype(np.float64)))
    return np.array(found)


def squared_discrepancy(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the unbiased estimate for features (N, D) and (N, D); it may be slightly negative."""
    width, count = one.shape[1], len(one)
    within = [(part @ part.T / width + 1) ** 3 for part in (one, other)]
    across = (one @ other.T / width + 1) ** 3
    pairs = sum((kernel.sum() - np.trace(kernel)) / (count * (count - 1)) for kernel in within)
    return float(pairs - 2 * across.mean())
