"""Test images in a pool: copies of them, and whether it lies nearer to the test set than chance allows."""

from __future__ import annotations

import logging

import numpy as np

from mousterian.data.image_set import ImageSet
from mousterian.data.leakage.checks import check_pool
from mousterian.quality.kinds import MeasureContext

_log = logging.getLogger(__name__)


def measure(pool: ImageSet, real: ImageSet, test: ImageSet, context: MeasureContext) -> dict[str, float]:
    """Whether a pool holds test images, compared with real images that its generator has not seen.

    A copy is identical in every pixel, or the same under a flip, a shift of up to two pixels, weak noise or
    JPEG compression. The unseen images are the dataset's training images but those that the generator was
    trained on; for a pool of unknown origin all of them, as if it had seen none.

    Args:
        pool: synthetic images.
        real: the dataset's training images.
        test: its test images.
        context: the images that the generator was trained on.

    Returns:
        test_copies: fraction of the pool that are copies of test images; identical_test_copies: of these,
        identical ones. nearer_to_test: fraction of the pool closer to a test image than to an unseen one; 0.5
        without a leak; nearer_to_test_p: its p-value; both only with enough unseen images.
        holds_test_images: 1 if there are more copies than among unseen images, or the pool lies nearer to the
        test set than chance allows, else 0.
    """
    seen = set() if context.seen is None else {image.tobytes() for image in context.seen.images}
    unseen = real.take(np.flatnonzero([image.tobytes() not in seen for image in real.images]))
    found = check_pool(pool, test, unseen)
    if found.refused or found.near:
        _log.warning("%s", " ".join(found.sentences()))
    counts = found.copies
    values = {
        "test_copies": counts.found / len(pool),
        "identical_test_copies": counts.exact / len(pool),
        "holds_test_images": float(found.refused or found.near),
    }
    for each in found.nearness:
        values |= {"nearer_to_test": each.share, "nearer_to_test_p": each.p_value}
    return values
