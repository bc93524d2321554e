"""Principal subspaces of real and synthetic features (main paper, Figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mousterian.data.image_set import ImageSet, concatenate
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext, Points
from mousterian.quality.measures._sampling import subsample


class Principal(NamedTuple):
    """Orthonormal principal directions (D, k) float64 of a covariance (D, D)."""

    directions: NDArray[np.float64]
    covariance: NDArray[np.float64]


def measure(
    pool: ImageSet,
    real: ImageSet,
    test: ImageSet,
    context: MeasureContext,
    *,
    features: str = "",
    components: int = 10,
    points: int = 1000,
) -> dict[str, float]:
    """Overlap of the principal subspaces of real and synthetic images.

    A set's subspace is that of its first principal components. The first two components of both sets together
    give the plot of Figure 1 (b), saved with the values.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: its test images.
        context: feature spaces; receives the points of the plot.
        features: feature space; empty: that of the command.
        components: dimensions of each subspace.
        points: maximum number of real and of synthetic images in the plot.

    Returns:
        subspace_overlap: mean squared cosine of the principal angles, 0 to 1; subspace_overlap_of_test.
        largest_angle: in degrees.
        real_variance_in_synthetic: variance of real images within the synthetic subspace over that within
            their own, 0 to 1; synthetic_variance_in_real: vice versa.
    """
    arrays = [context.features(part, features).astype(np.float64) for part in (real, pool, test)]
    most = min(arrays[0].shape[1], *(len(part) - 1 for part in arrays))
    if components < 1 or most < 1:
        raise InputError("a subspace needs at least two images and one component", where="subspace")
    of_real, of_pool, of_test = (principal(part, min(components, most)) for part in arrays)
    _save_plot((real, pool), arrays[:2], points, context)
    angles = linalg.subspace_angles(of_real.directions, of_pool.directions)
    of_test_angles = linalg.subspace_angles(of_real.directions, of_test.directions)
    return {
        "subspace_overlap": float(np.square(np.cos(angles)).mean()),
        "subspace_overlap_of_test": float(np.square(np.cos(of_test_angles)).mean()),
        "largest_angle": float(np.degrees(angles.max())),
        "real_variance_in_synthetic": share_inside(of_real, of_pool),
        "synthetic_variance_in_real": share_inside(of_pool, of_real),
    }


def principal(features: NDArray[np.float64], components: int) -> Principal:
    """Return the first principal components of features (N, D)."""
    covariance = np.atleast_2d(np.cov(features, rowvar=False))
    size = len(covariance)
    _, vectors = linalg.eigh(covariance, subset_by_index=[size - components, size - 1])
    return Principal(vectors[:, ::-1], covariance)


def share_inside(one: Principal, other: Principal) -> float:
    """Return the variance of `one` within the subspace of `other` over that within its own."""
    inside, own = (
        np.einsum("dk,de,ek->", part.directions, one.covariance, part.directions) for part in (other, one)
    )
    return float(inside / own) if own > 0 else 1.0


def _save_plot(
    parts: Sequence[ImageSet], features: Sequence[NDArray[np.float64]], most: int, context: MeasureContext
) -> None:
    """Save some real and synthetic images as points on the principal plane of their features."""
    rows = [subsample(len(part), most, "picture", context.seed) for part in parts]
    images = concatenate([part.take(chosen) for part, chosen in zip(parts, rows, strict=True)])
    of_both = np.concatenate([each[chosen] for each, chosen in zip(features, rows, strict=True)])
    context.keep(plane(of_both, images))


def plane(features: NDArray[Any], images: ImageSet) -> Points:
    """Return images as points on the first two principal components of their features (N, D)."""
    rows = features.astype(np.float64)
    directions = principal(rows, min(2, rows.shape[1])).directions
    at = np.zeros((len(rows), 2), dtype=np.float32)
    at[:, : directions.shape[1]] = (rows - rows.mean(0)) @ directions
    return Points(at, images.synthetic, images.labels)
