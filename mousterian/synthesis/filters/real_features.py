"""RF, the real filter of He et al. (2023): drop images that are closer to real images of another class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.synthesis.filters._threshold import all_but_lowest
from mousterian.synthesis.kinds import FilterContext, Scores

_CELLS = 2**24  # distances in memory at a time


def score(
    images: ImageSet,
    real: ImageSet,
    context: FilterContext,
    *,
    features: str = "pixels",
    margin: float = 0.0,
    drop: float = 0.0,
) -> Scores:
    """Keep images whose nearest real image of their own class is closer than that of any other class.

    Args:
        images: of the pool.
        real: S_base, the only real images that the trial may use.
        context: device, data folder, and block length.
        features: feature space, e.g. "pixels", "clip:MODEL:PATH".
        margin: keep scores above this.
        drop: fraction of every block to drop, lowest scores first, in place of a margin.

    Returns:
        The score is (other - own) / (other + own) of the two distances: 1 at a real image of the own class, 0
        halfway, -1 at one of another class.
    """
    from mousterian.training.feature_spaces import load

    if margin and drop:
        raise InputError("real_features takes margin or drop, not both", where="filter")
    present = np.unique(real.labels)
    if len(present) < len(images.class_names) or len(present) < 2:
        raise InputError(
            f"real_features needs real images of every class, and at least two classes; there are"
            f" {len(present)} of {len(images.class_names)} classes",
            where="filter",
            hint="use a larger n_base",
        )
    space = load(features, context.device, context.data_dir)
    nearest = distance_to_classes(space(images.images), space(real.images), real.labels)
    rows = np.arange(len(images))
    own = nearest[rows, images.labels]
    nearest[rows, images.labels] = np.inf
    other = nearest.min(axis=1)
    total = own + other
    scores = np.divide(other - own, total, out=np.zeros_like(total), where=total > 0)
    return Scores(all_but_lowest(scores, drop, context.block) if drop else scores > margin, scores)


def stamp(data_dir: Path, *, features: str = "pixels") -> str:
    """Return a fingerprint of the files that the feature space reads."""
    from mousterian.training.feature_spaces import space_stamp

    return space_stamp(features, data_dir)


def nested_revisions(*, features: str = "pixels") -> list[int]:
    """Return the revision of the feature space."""
    from mousterian.training.feature_spaces import space_revision

    return [space_revision(features)]


def distance_to_classes(
    points: NDArray[np.float32], others: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the distances of points (N, D) to the nearest of `others` (M, D) of each class: (N, K).

    Args:
        points, others: float32 features.
        labels: (M,) classes of `others`; every class from 0 to K - 1 occurs.
    """
    order = np.argsort(labels, kind="stable")
    # Centred, as squares of large numbers would cancel small distances.
    centre = others.mean(axis=0, dtype=np.float64)
    keys, queries = others[order] - centre, points - centre
    starts = np.searchsorted(labels[order], np.arange(labels.max() + 1))
    lengths = (keys**2).sum(axis=1)
    parts = []
    for part in np.array_split(queries, max(1, -(-len(queries) * len(keys) // _CELLS))):
        squares = (part**2).sum(axis=1)[:, None] + lengths - 2 * part @ keys.T
        parts.append(np.sqrt(np.maximum(np.minimum.reduceat(squares, starts, axis=1), 0)))
    return np.concatenate(parts)
