"""Test images in a pool: copies of them, and whether it lies nearer to the test set than chance allows."""

from __future__ import annotations

import logging

import numpy as np

from mousterian.data.image_set import ImageSet
from mousterian.data.leakage.checks import Features, check_pool
from mousterian.quality.kinds import MeasureContext

_log = logging.getLogger(__name__)


def measure(
    pool: ImageSet, real: ImageSet, test: ImageSet, context: MeasureContext, *, features: str = "pixels"
) -> dict[str, float]:
    """Whether a pool holds test images, compared with real images that its generator has not seen.

    A copy is identical in every pixel, or the same under a flip, a shift of up to two pixels, weak noise or
    JPEG compression. The unseen images are the dataset's training images but those that the generator was
    trained on; for a pool of unknown origin all of them, as if it had seen none.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: its test images.
        context: feature spaces, and the images that the generator was trained on.
        features: feature space in which distances are taken, beside pixels; its network must not have been
            trained on the dataset, as the unseen images would be no longer comparable with the test images.

    Returns:
        test_copies: fraction of the pool that are copies of test images; identical_test_copies: of these,
        identical ones. nearer_to_test: fraction of the pool closer to a test image than to an unseen one, in
        the feature space; 0.5 without a leak; nearer_to_test_p: its p-value; both only with enough unseen
        images.
        holds_test_images: 1 if there are more copies than among unseen images, or the pool lies nearer to the
        test set than chance allows, else 0.
    """
    seen = set() if context.seen is None else {image.tobytes() for image in context.seen.images}
    unseen = real.take(np.flatnonzero([image.tobytes() not in seen for image in real.images]))
    vectors = {}
    if features != "pixels":
        vectors[features] = Features(*(context.features(part, features) for part in (pool, test, unseen)))
    found = check_pool(pool, test, unseen, features=vectors)
    if found.refused or found.near:
        _log.warning("%s", " ".join(found.sentences()))
    counts = found.copies
    values = {
        "test_copies": counts.found / len(pool),
        "identical_test_copies": counts.exact / len(pool),
        "holds_test_images": float(found.refused or found.near),
    }
    if found.nearness:
        last = found.nearness[-1]  # in the features, where they are not pixels
        values |= {"nearer_to_test": last.share, "nearer_to_test_p": last.p_value}
    return values
