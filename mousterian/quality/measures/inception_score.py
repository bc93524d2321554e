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
    """Inception score: how confident, and how diverse over the classes, a classifier's predictions are.

    exp(E KL(p(y|x) || p(y))), from 1 to the number of classes of the space's classifier; it is the Inception
    score in the space `inception` only.

    Args:
        pool: synthetic images.
        real: unused.
        test: the dataset's test images.
        context: feature spaces.
        features: feature space with classes; empty: that of the command.
        splits: number of subsets that the score is averaged over.

    Returns:
        inception_score, its spread (standard deviation over the splits), inception_score_of_test; higher is
        better.
    """
    if splits < 1:
        raise InputError(f"splits is {splits}, and must be at least 1", where="inception_score")
    scores = split_scores(context.probabilities(pool, features), splits, context.seed)
    of_test = split_scores(context.probabilities(test, features), splits, context.seed)
    return {
        "inception_score": float(scores.mean()),
        "inception_score_spread": float(scores.std()),
        "inception_score_of_test": float(of_test.mean()),
    }


def split_scores(probabilities: NDArray[np.float32], splits: int, seed: int) -> NDArray[np.float64]:
    """Return the scores of random subsets of class probabilities (N, K): (splits,) or (N,) float64.

    The images of a pool are ordered by class in turn, so the subsets are random.
    """
    random = np.random.default_rng(seed_for("quality", "inception score", seed))
    order = random.permutation(len(probabilities))
    chosen = [probabilities[rows] for rows in np.array_split(order, min(splits, len(order)))]
    return np.array([score(each) for each in chosen])


def score(probabilities: NDArray[np.float32]) -> float:
    """Return the exponential of the mean KL divergence of p(y|x) from p(y), for probabilities (N, K)."""
    conditional = probabilities.astype(np.float64)
    marginal = conditional.mean(0, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(conditional > 0, conditional * (np.log(conditional) - np.log(marginal)), 0.0)
    return float(np.exp(terms.sum(1).mean()))
