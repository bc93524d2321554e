"""Inception score (Salimans et al. 2016)."""

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
    splits: int = 10,
) -> dict[str, float]:
    """How surely, and how evenly over the classes, a classifier takes the images for something.

    exp(E KL(p(y|x) || p(y))), from 1 to the number of classes of the space's classifier; only with
    `inception` is it *the* Inception score.

    Args:
        pool: synthetic images.
        real: unused.
        test: the dataset's test images.
        context: feature spaces.
        features: feature space with classes; empty: the one that the command names.
        splits: parts that the score is the mean over.

    Returns:
        inception_score, its spread over the parts, and inception_score_of_test; the most is best.
    """
    if splits < 1:
        raise InputError(f"splits is {splits}, and must be at least 1", where="inception_score")
    scores = parts(context.probabilities(pool, features), splits, context.seed)
    of_test = parts(context.probabilities(test, features), splits, context.seed)
    return {
        "inception_score": float(scores.mean()),
        "inception_score_spread": float(scores.std()),
        "inception_score_of_test": float(of_test.mean()),
    }


def parts(probabilities: NDArray[np.float32], splits: int, seed: int) -> NDArray[np.float64]:
    """Return the score of each part of class probabilities (N, K): (splits,) or (N,) float64.

    Images of a pool are in a fixed order of classes, so the parts are drawn at random.
    """
    random = np.random.default_rng(seed_for("quality", "inception score", seed))
    order = random.permutation(len(probabilities))
    chosen = [probabilities[rows] for rows in np.array_split(order, min(splits, len(order)))]
    return np.array([score(each) for each in chosen])


def score(probabilities: NDArray[np.float32]) -> float:
    """Return exp of the mean divergence of p(y|x) from p(y), for probabilities (N, K)."""
    given = probabilities.astype(np.float64)
    mean = given.mean(0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(given > 0, given * (np.log(given) - np.log(mean)), 0.0)
    return float(np.exp(terms.sum(1).mean()))
