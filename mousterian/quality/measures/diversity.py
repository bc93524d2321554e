"""How varied the synthetic images of each class are beside the real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext
from mousterian.quality.measures._sampling import some


def measure(
    pool: ImageSet,
    real: ImageSet,
    test: ImageSet,
    context: MeasureContext,
    *,
    features: str = "",
    most: int = 500,
) -> dict[str, float]:
    """How many images a class really has: the effective number of synthetic ones over that of as many real.

    The effective number is the Vendi score (Friedman and Dieng 2023) with a Gaussian kernel as wide as half
    the median distance between real images of the class: 1 where all images are one, n where none resemble.
    Images of nothing are varied too: read it beside the precision.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: unused.
        context: feature spaces and seed.
        features: feature space; empty: the one that the command names.
        most: images of each class and kind, at most.

    Returns:
        diversity: mean over classes; diversity_lowest; diversity.CLASS for each class; 1 is as real.
    """
    mine, theirs = (context.features(part, features).astype(np.float64) for part in (pool, real))
    found = {}
    for label, name in enumerate(real.class_names):
        members = [np.flatnonzero(part.labels == label) for part in (pool, real)]
        count = min(most, *map(len, members))
        if count < 2:
            continue
        chosen = [rows[some(len(rows), count, "diversity", context.seed)] for rows in members]
        found[name] = relative_number(mine[chosen[0]], theirs[chosen[1]])
    if not found:
        raise InputError("no class has two synthetic and two real images", hint="measure more of the pool")
    values = list(found.values())
    by_class = {f"diversity.{name}": value for name, value in found.items()}
    return {"diversity": float(np.mean(values)), "diversity_lowest": min(values), **by_class}


def relative_number(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Return the effective number of `mine` (n, D) over that of `theirs` (n, D), both on their scale."""
    distances = [pdist(part) for part in (mine, theirs)]
    width = float(np.median(distances[1])) / 2 or 1.0
    one, other = (effective_number(np.exp(-0.5 * (each / width) ** 2)) for each in distances)
    return one / other


def effective_number(similarities: NDArray[np.float64]) -> float:
    """Return the Vendi score of the similarities (0 to 1) of all pairs, (n (n - 1) / 2,)."""
    kernel = squareform(similarities)
    np.fill_diagonal(kernel, 1.0)
    shares = np.linalg.eigvalsh(kernel / len(kernel)).clip(min=0)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
