"""Fréchet distance between the features of synthetic and of real images (Heusel et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext


def measure(
    pool: ImageSet, real: ImageSet, test: ImageSet, context: MeasureContext, *, features: str = ""
) -> dict[str, float]:
    """Fréchet distance to the real training images; it is the FID in the space `inception` only.

    It decreases with the number of images, so compare pools of equal size. `fid_of_test`, the distance of
    real test images, is the best value to expect of a generator.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: its test images.
        context: feature spaces.
        features: feature space; empty: that of the command.

    Returns:
        fid, fid_of_test: in squared units of the features; lower is better.
    """
    of_real = gaussian(context.features(real, features))
    return {
        "fid": frechet(gaussian(context.features(pool, features)), of_real),
        "fid_of_test": frechet(gaussian(context.features(test, features)), of_real),
    }


Gaussian = tuple[NDArray[np.float64], NDArray[np.float64]]


def gaussian(features: NDArray[np.float32]) -> Gaussian:
    """Return mean (D,) and covariance (D, D) of features (N, D), as float64."""
    if len(features) < 2:
        raise InputError("a Fréchet distance needs at least two images", hint="measure more of the pool")
    rows = features.astype(np.float64)
    return rows.mean(0), np.atleast_2d(np.cov(rows, rowvar=False))


def frechet(one: Gaussian, other: Gaussian) -> float:
    """Return |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½).

    The trace of the square root is the sum of the singular values of C1^½ C2^½, which avoids complex numbers
    and handles singular covariances.
    """
    (mean, covariance), (other_mean, other_covariance) = one, other
    roots = _root(covariance) @ _root(other_covariance)
    overlap = linalg.svdvals(roots).sum()
    distance = np.square(mean - other_mean).sum()
    return float(max(0.0, distance + np.trace(covariance) + np.trace(other_covariance) - 2 * overlap))


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root
