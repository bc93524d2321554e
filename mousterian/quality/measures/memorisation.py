"""Memorisation: does a generator copy its training images?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mousterian.data.image_set import ImageSet
from mousterian.data.leakage import near_copies
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext
from mousterian.quality.measures._neighbours import nearest
from mousterian.quality.measures._sampling import subsample

REVISION = 2  # copies_of_test is of the pool's images; before, of the test images


def measure(
    pool: ImageSet,
    real: ImageSet,
    test: ImageSet,
    context: MeasureContext,
    *,
    features: str = "pixels",
    most: int = 10_000,
) -> dict[str, float]:
    """Whether synthetic images are closer to the generator's training images than unseen real images are.

    The seen images are the generator's training images if known, else the dataset's. Distances to them are
    compared with distances to as many test images, and with the distances of test images to the seen ones
    (Meehan et al. 2020). A copy is less than a third as far from its nearest seen image as from the second
    nearest (Yoon et al. 2023).

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: its test images, unseen by any generator.
        context: feature spaces, seed, and the images that the generator has seen.
        features: feature space.
        most: maximum number of synthetic, seen and test images.

    Returns:
        nearer_to_seen: fraction of the pool closer to a seen than to an unseen image; 0.5 without copying.
        nearer_than_unseen: probability that a synthetic image is closer to a seen image than a test image is.
        copies: fraction of copies in the pool; copies_among_unseen: in the test images, by the same rule.
        copies_of_test: fraction of the pool that are copies of test images, as the measure leaks finds them.
        seen_distance, unseen_distance: median distances to the nearest seen and unseen image.
        seen_images: number of seen images.
    """
    seen = real if context.seen is None else context.seen
    count = min(len(seen), len(test), most)
    if count < 2:
        raise InputError("memorisation needs at least two seen and two test images", where="memorisation")
    synthetic = context.features(pool, features)[subsample(len(pool), most, "copies", context.seed)]
    known = context.features(seen, features)[subsample(len(seen), most, "seen", context.seed)]
    unseen = context.features(test, features)[subsample(len(test), most, "unseen", context.seed)]
    equal = [part[subsample(len(part), count, "as many", context.seed)] for part in (known, unseen)]
    to_seen, to_unseen = (nearest(synthetic, part, 1, context.device).distances[:, 0] for part in equal)
    to_known = nearest(synthetic, known, 2, context.device).distances
    from_test = nearest(unseen, known, 2, context.device).distances
    checked = subsample(len(pool), most, "copies", context.seed)
    found = near_copies.find(pool.images[checked], test.images)
    return {
        "nearer_to_seen": float((to_seen < to_unseen).mean() + (to_seen == to_unseen).mean() / 2),
        "nearer_than_unseen": probability_closer(to_known[:, 0], from_test[:, 0]),
        "copies": copies(to_known),
        "copies_among_unseen": copies(from_test),
        "copies_of_test": len(np.unique(np.concatenate(found)[:, 0])) / len(checked),
        "seen_distance": float(np.median(to_seen)),
        "unseen_distance": float(np.median(to_unseen)),
        "seen_images": float(len(seen)),
    }


def probability_closer(synthetic: NDArray[np.float32], test: NDArray[np.float32]) -> float:
    """Return the probability that one of `synthetic` (N,) is below one of `test` (M,); ties count half."""
    above = stats.mannwhitneyu(test, synthetic).statistic
    return float(above / (len(synthetic) * len(test)))


def copies(distances: NDArray[np.float32]) -> float:
    """Return the fraction of images whose two nearest distances (N, 2) have a ratio below 1/3."""
    return float((distances[:, 0] < distances[:, 1] / 3).mean())
