"""Does a generator copy the images that it was trained on?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext
from mousterian.quality.measures._neighbours import nearest
from mousterian.quality.measures._sampling import some


def measure(
    pool: ImageSet,
    real: ImageSet,
    test: ImageSet,
    context: MeasureContext,
    *,
    features: str = "pixels",
    most: int = 10_000,
) -> dict[str, float]:
    """Whether synthetic images lie nearer to the images the generator has seen than unseen real ones do.

    The seen images are the generator's training images where these are known, else the dataset's. Distances
    to them are held against distances to as many test images, and against the distances that test images
    themselves have to the seen ones (Meehan et al. 2020). A copy has its nearest seen image at less than a
    third of the distance of the next (Yoon et al. 2023).

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: its test images, which no generator has seen.
        context: feature spaces, seed, and the images that the generator has seen.
        features: feature space.
        most: images of each kind, at most.

    Returns:
        nearer_to_seen: share of the pool nearer to a seen than to an unseen image; 0.5 without copying.
        nearer_than_unseen: chance that a synthetic image is nearer to a seen image than a test image is.
        copies: share of the pool that are copies; copies_of_test: of the test images, by the same rule.
        seen_distance, unseen_distance: median distances to the nearest seen and unseen image.
        seen_images: how many images the generator was taken to have seen.
    """
    seen = real if context.seen is None else context.seen
    count = min(len(seen), len(test), most)
    if count < 2:
        raise InputError("memorisation needs at least two seen and two test images", where="memorisation")
    synthetic = context.features(pool, features)[some(len(pool), most, "copies", context.seed)]
    known = context.features(seen, features)[some(len(seen), most, "seen", context.seed)]
    unseen = context.features(test, features)[some(len(test), most, "unseen", context.seed)]
    as_many = [part[some(len(part), count, "as many", context.seed)] for part in (known, unseen)]
    to_seen, to_unseen = (nearest(synthetic, part, 1, context.device).distances[:, 0] for part in as_many)
    to_known = nearest(synthetic, known, 2, context.device).distances
    from_test = nearest(unseen, known, 2, context.device).distances
    return {
        "nearer_to_seen": float((to_seen < to_unseen).mean() + (to_seen == to_unseen).mean() / 2),
        "nearer_than_unseen": chance_nearer(to_known[:, 0], from_test[:, 0]),
        "copies": copies(to_known),
        "copies_of_test": copies(from_test),
        "seen_distance": float(np.median(to_seen)),
        "unseen_distance": float(np.median(to_unseen)),
        "seen_images": float(len(seen)),
    }


def chance_nearer(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Return the chance that one of `mine` (N,) is below one of `theirs` (M,), a tie counting half."""
    above = stats.mannwhitneyu(theirs, mine).statistic
    return float(above / (len(mine) * len(theirs)))


def copies(distances: NDArray[np.float32]) -> float:
    """Return the share of images whose nearest is at under a third of the next one's distance (N, 2)."""
    return float((distances[:, 0] < distances[:, 1] / 3).mean())
