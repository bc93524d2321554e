"""The sampling of test images: one test set is all trials' own, so that its luck is common to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mousterian.fitting.population import Spread, indicator
from mousterian.fitting.surface import Array

# Rows without a side file are inferred from the others where these hold this share of what every direction of
# the surface rests on.
_LEAST_SHARE = 0.25
_NEGLIGIBLE = 1e-12
# Independent effects that stand for the images: a variance from as many random ones is off by 4 % or so.
_MOST_EFFECTS = 1000


@dataclass(frozen=True)
class ImageSampling:
    """What other test images would do to the accuracies of the same trained networks.

    Attributes:
        known: rows whose predictions are known, (R,) bool.
        root: of the covariance of their accuracies over draws of the test set, (K, L), L ≤ `_MOST_EFFECTS`.
        freedom: of the covariance: independent groups of images less one.
    """

    known: NDArray[np.bool_]
    root: Array
    freedom: float

    @staticmethod
    def of(
        known: NDArray[np.bool_], correct: NDArray[np.bool_], groups: NDArray[np.int64] | None = None
    ) -> ImageSampling:
        """Return the sampling from correct (K, N) bool.

        The covariance is that of the bootstrap over images, or over groups of them (N,) such as patients: G
        of these, times G / (G − 1).
        """
        off = by_group(correct, groups) - correct.mean(axis=1, keepdims=True, dtype=np.float32)
        count = off.shape[1]
        return ImageSampling(known, _root(off, 1.0 / (max(count - 1, 1) * count)), count - 1.0)

    def at(self, rows: NDArray[np.int64]) -> ImageSampling:
        """Return the sampling of other rows: R numbers of these, each once at most."""
        place = np.cumsum(self.known) - 1
        kept = place[rows[self.known[rows]]]
        return ImageSampling(self.known[rows], self.root[kept], self.freedom)

    def weighted(self, basis: Array, root: Array) -> Array:
        """Return independent effects on the rows' accuracies times `root`, (R, L).

        Rows without predictions get what the surface through the others' effects says; L is 0 where these
        do not determine it.

        Args:
            basis: of the fit's tangent space in the weighted rows, (effective_parameters, R).
            root: root of each row's weight, (R,); 0 for those set aside.
        """
        effects = np.zeros((len(root), self.root.shape[1]))
        effects[self.known] = root[self.known, None] * self.root
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


def _root(sums: NDArray[np.float32], scale: float) -> Array:
    """Return a root (K, L) of the covariance `scale` · S Sᵀ of sums S (K, N).

    Of many rows and many images it is so in expectation: random combinations stand for the images.
    """
    if len(sums) <= _MOST_EFFECTS:
        values, vectors = np.linalg.eigh(np.asarray(sums @ sums.T, dtype=float) * scale)
        large = values > _NEGLIGIBLE * max(values.max(initial=0.0), _NEGLIGIBLE)
        return np.asarray(vectors[:, large] * np.sqrt(values[large]))
    if sums.shape[1] > _MOST_EFFECTS:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (sums.shape[1], _MOST_EFFECTS))
        sums = sums @ (signs / np.sqrt(_MOST_EFFECTS)).astype(np.float32)
    return np.asarray(np.sqrt(scale) * sums.astype(float))


def share_of_differences(images: Spread, draws: Array, base: Array, cell: Array) -> float:
    """Return the share of test images in the variance of differences between mixtures of one base size.

    Args:
        images: what test images do to the fitted accuracies of the rows.
        draws: of these accuracies, (D, C), for each cell.
        base: base size of each row, (R,).
        cell: of each row, (R,).

    Returns:
        A number between 0 and 1; NaN where nothing varies.
    """
    count = np.bincount(cell)
    of_cell = np.zeros(len(count))
    of_cell[cell] = base
    whole = float((count * _centred(draws, of_cell, count).var(axis=0)).sum())
    if not whole > 0:
        return math.nan
    effects = _centred(images.tangent, base, np.ones(len(base))).T @ images.pulls
    return min(float((effects**2).sum()) / whole, 1.0)


def _centred(values: Array, base: Array, weight: Array) -> Array:
    """Return values (N, M) less their mean over the columns of each one's base (M,), weighted (M,)."""
    at = np.unique(base, return_inverse=True)[1]
    members = indicator(at)
    return np.asarray(values - ((values * weight) @ members / (weight @ members))[:, at])
