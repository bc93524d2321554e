"""Drop copies: of test images, which must not be trained on, and of images earlier in the pool."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.synthesis.kinds import FilterContext, Scores

_BITS = 64
_CELLS = 2**24  # distances held at a time


def score(
    images: ImageSet,
    real: ImageSet,
    context: FilterContext,
    *,
    distance: int = 0,
    against_test: bool = True,
    within_pool: bool = True,
) -> Scores:
    """Keep images that are no copy of a test image or of an earlier image of the pool.

    With distance 0 a copy is the same pixel for pixel; above it, one whose difference hash (64 bits: is the
    image, averaged to 8×9 fields, brighter in the next field to the right?) differs in fewer bits than that.

    Args:
        images: of the pool.
        real: not looked at.
        context: test images, and the images earlier in the pool.
        distance: 0: exact copies; else bits (1 to 64): 5 takes slight changes of brightness, size or coding
            for copies, and on small, simple images much else too.
        against_test: look for copies of test images.
        within_pool: look for copies of images earlier in the pool.

    Returns:
        The score is the bits that differ from the nearest of them, 0 for exact copies (exact: 0 or 64).
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
    own = difference_hashes(images.images)
    scores = np.full(len(images), float(_BITS))
    if known:
        scores = nearest(own, np.concatenate([difference_hashes(each.images) for each in known]))
    if within_pool:
        for place in range(1, len(own)):
            scores[place] = min(scores[place], np.bitwise_count(own[:place] ^ own[place]).min())
    return Scores(scores >= distance, scores)


def _exact(images: ImageSet, known: list[ImageSet], within_pool: bool) -> Scores:
    seen = {image.tobytes() for each in known for image in each.images}
    keep = np.ones(len(images), dtype=bool)
    for place, image in enumerate(images.images):
        content = image.tobytes()
        keep[place] = content not in seen
        if within_pool:
            seen.add(content)
    return Scores(keep, np.where(keep, float(_BITS), 0.0))


def difference_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the 64-bit difference hash of each of N images (N, H, W, C): (N,) uint64."""
    grey = images.mean(axis=3)
    height, width = grey.shape[1:]
    rows = [grey[:, a:b].mean(axis=1) for a, b in _fields(height, 8)]
    bands = np.stack(rows, axis=1)
    fields = np.stack([bands[:, :, a:b].mean(axis=2) for a, b in _fields(width, 9)], axis=2)
    bits = np.diff(fields, axis=2) > 0
    packed = np.packbits(bits.reshape(len(images), _BITS), axis=1)
    hashes: NDArray[np.uint64] = packed.view(np.uint64)[:, 0]
    return hashes


def _fields(side: int, count: int) -> list[tuple[int, int]]:
    """Return where `count` fields of a side begin and end; on a short side they share pixels."""
    edges = np.linspace(0, side, count + 1)
    begins = np.minimum(np.floor(edges[:-1]).astype(int), side - 1)
    return list(zip(begins, np.maximum(np.ceil(edges[1:]).astype(int), begins + 1), strict=True))


def nearest(own: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return in how many bits each of N hashes differs from the nearest of M others: (N,) float64."""
    parts = np.array_split(own, max(1, -(-len(own) * len(others) // _CELLS)))
    return np.concatenate(
        [np.bitwise_count(part[:, None] ^ others).min(axis=1).astype(np.float64) for part in parts]
    )
