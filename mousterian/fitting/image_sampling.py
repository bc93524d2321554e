"""The sampling of test images: one test set is all trials' own, so that its luck is common to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mousterian.fitting.surface import Array

# Rows without a side file are inferred from the others where these hold this share of what every direction of
# the surface rests on.
_LEAST_SHARE = 0.25
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class ImageSampling:
    """What other test images would do to the accuracies of the same trained networks.

    Attributes:
        known: rows whose predictions are known, (R,) bool.
        covariance: of their accuracies over draws of the test set, (K, K).
        freedom: of the covariance: independent groups of images less one.
    """

    known: NDArray[np.bool_]
    covariance: Array
    freedom: float

    @staticmethod
    def of(
        known: NDArray[np.bool_], correct: NDArray[np.bool_], groups: NDArray[np.int64] | None = None
    ) -> ImageSampling:
        """Return the covariance of accuracies from correct (K, N) bool.

        It is that of the bootstrap over images, or over groups of them (N,) such as patients: G of these,
        times G / (G − 1).
        """
        off = by_group(correct, groups) - correct.mean(axis=1, keepdims=True, dtype=np.float32)
        count = off.shape[1]
        scale = 1.0 / (max(count - 1, 1) * count)
        return ImageSampling(known, np.asarray(off @ off.T, dtype=float) * scale, count - 1.0)

    def at(self, rows: NDArray[np.int64]) -> ImageSampling:
        """Return the sampling of other rows: R numbers of these, each once at most."""
        place = np.cumsum(self.known) - 1
        kept = place[rows[self.known[rows]]]
        return ImageSampling(self.known[rows], self.covariance[np.ix_(kept, kept)], self.freedom)

    @cached_property
    def _root(self) -> Array:
        """A root of the covariance, (K, L)."""
        values, vectors = np.linalg.eigh(self.covariance)
        large = values > _NEGLIGIBLE * max(values.max(initial=0.0), _NEGLIGIBLE)
        return np.asarray(vectors[:, large] * np.sqrt(values[large]))

    def weighted(self, basis: Array, root: Array) -> Array:
        """Return independent effects on the rows' accuracies times `root`, (R, L), L ≤ K.

        Rows without predictions get what the surface through the others' effects says; L is 0 where these
        do not determine it.

        Args:
            basis: of the fit's tangent space in the weighted rows, (effective_parameters, R).
            root: root of each row's weight, (R,); 0 for those set aside.
        """
        effects = np.zeros((len(root), self._root.shape[1]))
        effects[self.known] = root[self.known, None] * self._root
        if (self.known | (root == 0)).all():
            return effects
        part = basis[:, self.known]
        seen = part @ part.T
        if np.linalg.eigvalsh(seen).min(initial=1.0) < _LEAST_SHARE:
            return effects[:, :0]
        filled = basis.T @ np.linalg.solve(seen, part @ effects[self.known])
        return np.where(self.known[:, None], effects, filled)


def by_group(correct: NDArray[np.bool_], groups: NDArray[np.int64] | None) -> NDArray[np.float32]:
    """Return values of independent groups (K, G) whose mean is the accuracy, from correct (K, N) bool.

    A group's value is the accuracy and what its images in sum differ from it, over N / G images. Without
    groups each image is one.
    """
    values = correct.astype(np.float32)
    if groups is None:
        return values
    mean, index = values.mean(axis=1, keepdims=True), np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((len(values), int(index.max()) + 1), dtype=np.float32)
    np.add.at(sums.T, index, (values - mean).T)
    return np.asarray(mean + sums * (sums.shape[1] / len(index)))


def share_of_differences(images: Array, draws: Array, base: Array) -> float:
    """Return the share of test images in the variance of differences between mixtures of one base size.

    Args:
        images: independent effects of test images on the fitted accuracies of the rows, (R, L); L may be 0.
        draws: of these accuracies, (D, R).
        base: base size of each row, (R,).

    Returns:
        A number between 0 and 1; NaN where test images are unknown, or nothing varies.
    """
    same = (base[:, None] == base).astype(float)
    centring = np.eye(len(base)) - same / same.sum(axis=1)
    whole = float((draws @ centring).var(axis=0).sum())
    if not images.size or not whole > 0:
        return math.nan
    return min(float(((centring @ images) ** 2).sum()) / whole, 1.0)
