"""Diversity of the synthetic images of each class, relative to real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext
from mousterian.quality.measures._sampling import subsample


def measure(
    pool: ImageSet,
    real: ImageSet,
    test: ImageSet,
    context: MeasureContext,
    *,
    features: str = "",
    most: int = 500,
) -> dict[str, float]:
    """Effective number of synthetic images per class, relative to that of as many real images.

    The effective number is the Vendi score (Friedman and Dieng 2023) with a Gaussian kernel whose width is
    half the median distance between real images of the class: 1 for identical images, n for n dissimilar
    ones. Noise is diverse too, so read it together with the precision.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: unused.
        context: feature spaces and seed.
        features: feature space; empty: that of the command.
        most: maximum number of synthetic and of real images per class.

    Returns:
        diversity: mean over classes; diversity_lowest; diversity.CLASS for each class; 1: as diverse as real.
    """
    of_pool, of_real = (context.features(part, features).astype(np.float64) for part in (pool, real))
    found = {}
    for label, name in enumerate(real.class_names):
        members = [np.flatnonzero(part.labels == label) for part in (pool, real)]
        count = min(most, *map(len, members))
        if count < 2:
            continue
        chosen = [rows[subsample(len(rows), count, "diversity", context.seed)] for rows in members]
        found[name] = relative_number(of_pool[chosen[0]], of_real[chosen[1]])
    if not found:
        raise InputError("no class has two synthetic and two real images", hint="measure more of the pool")
    values = list(found.values())
    by_class = {f"diversity.{name}": value for name, value in found.items()}
    return {"diversity": float(np.mean(values)), "diversity_lowest": min(values), **by_class}


def relative_number(synthetic: NDArray[np.float64], real: NDArray[np.float64]) -> float:
    """Return the effective number of `synthetic` (n, D) over that of `real` (n, D), with one kernel."""
    distances = [pdist(part) for part in (synthetic, real)]
    width = float(np.median(distances[1])) / 2 or 1.0
    numbers = [effective_number(np.exp(-0.5 * (each / width) ** 2)) for each in distances]
    return numbers[0] / numbers[1]


def effective_number(similarities: NDArray[np.float64]) -> float:
    """Return the Vendi score for the similarities (0 to 1) of all pairs, (n (n - 1) / 2,)."""
    kernel = squareform(similarities)
    np.fill_diagonal(kernel, 1.0)
    eigenvalues = np.linalg.eigvalsh(kernel / len(kernel)).clip(min=0)
    eigenvalues = eigenvalues[eigenvalues > 0]
    return float(np.exp(-(eigenvalues * np.log(eigenvalues)).sum()))
