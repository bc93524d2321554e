"""Drop copies of test images, which must not be trained on, and of earlier images of the pool."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.synthesis.kinds import FilterContext, Scores

_BITS = 64
_CELLS = 2**24  # distances in memory at a time


def score(
    images: ImageSet,
    real: ImageSet,
    context: FilterContext,
    *,
    distance: int = 0,
    against_test: bool = True,
    within_pool: bool = True,
) -> Scores:
    """Keep images that are not copies of a test image or of an earlier image of the pool.

    With distance 0, copies are equal pixel for pixel; otherwise they differ in fewer bits of the difference
    hash (64 bits: is each cell of the image, averaged to 8×9, brighter than its left neighbour?).

    Args:
        images: of the pool.
        real: unused.
        context: test images, and the earlier images of the pool.
        distance: 0: exact copies; otherwise in bits (1 to 64): 5 allows for slight changes of brightness,
            size or compression, and has many false positives on small, simple images.
        against_test: drop copies of test images.
        within_pool: drop copies of earlier images of the pool.

    Returns:
        The score is the distance to the nearest of these images in bits (distance 0: 0 for copies, else 64).
    """
    if not 0 <= distance <= _BITS:
        raise InputError(
            f"distance must be from 0 to {_BITS} bits, not {distance}", where="filter duplicates"
        )
    known = [context.test()] if against_test else []
    earlier = context.earlier() if within_pool else None
    known += [earlier] if earlier is not None else []
    if not distance:
        return _exact(images, known, within_pool)
    hashes = difference_hashes(images.images)
    scores = np.full(len(images), float(_BITS))
    if known:
        scores = nearest(hashes, np.concatenate([difference_hashes(each.images) for each in known]))
    if within_pool:
        for row in range(1, len(hashes)):
            scores[row] = min(scores[row], np.bitwise_count(hashes[:row] ^ hashes[row]).min())
    return Scores(scores >= distance, scores)


def _exact(images: ImageSet, known: list[ImageSet], within_pool: bool) -> Scores:
    seen = {image.tobytes() for each in known for image in each.images}
    keep = np.ones(len(images), dtype=bool)
    for row, image in enumerate(images.images):
        content = image.tobytes()
        keep[row] = content not in seen
        if within_pool:
            seen.add(content)
    return Scores(keep, np.where(keep, float(_BITS), 0.0))


def difference_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the 64-bit difference hash of each of N images (N, H, W, C): (N,) uint64."""
    grey = images.mean(axis=3)
    height, width = grey.shape[1:]
    rows = np.stack([grey[:, a:b].mean(axis=1) for a, b in _cells(height, 8)], axis=1)
    cells = np.stack([rows[:, :, a:b].mean(axis=2) for a, b in _cells(width, 9)], axis=2)
    bits = np.diff(cells, axis=2) > 0
    packed = np.packbits(bits.reshape(len(images), _BITS), axis=1)
    hashes: NDArray[np.uint64] = packed.view(np.uint64)[:, 0]
    return hashes


def _cells(side: int, count: int) -> list[tuple[int, int]]:
    """Return the bounds of `count` cells along a side; on a short side they overlap."""
    edges = np.linspace(0, side, count + 1)
    begins = np.minimum(np.floor(edges[:-1]).astype(int), side - 1)
    return list(zip(begins, np.maximum(np.ceil(edges[1:]).astype(int), begins + 1), strict=True))


def nearest(own: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the Hamming distance of each of N hashes to the nearest of M others: (N,) float64."""
    parts = np.array_split(own, max(1, -(-len(own) * len(others) // _CELLS)))
    return np.concatenate(
        [np.bitwise_count(part[:, None] ^ others).min(axis=1).astype(np.float64) for part in parts]
    )
