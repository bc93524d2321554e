"""Leak checks: test images in a training set or in a pool, by image and by pool.

`check_set` counts copies of test images in a training set. `check_pool` counts copies of test images, and of
training images, in a pool, and asks two things of the pool as a whole: does it hold more copies of test
images, and does it lie nearer to them, than to as many real images of the same classes that its generator has
not seen? Both answers have an exact p-value. What is not found: a generator that has seen the test images and
learnt no more from each of them than from any other image of its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mousterian.data.image_set import ImageSet
from mousterian.data.leakage import exchange_test, near_copies
from mousterian.data.leakage.coarse_images import ROWS, Halves, Nearest, coarse, most_similar, parts
from mousterian.data.leakage.copies import Copies, TrainingCopies
from mousterian.data.leakage.near_copies import Pairs
from mousterian.data.leakage.results import FEWEST_PAIRS, Comparison, Nearness, PoolLeaks, SetLeaks
from mousterian.data.leakage.threads import in_threads
from mousterian.errors import InputError, first_of

_EXAMPLES = 5
_TIE = 1e-6  # similarities that differ by less


class Features(NamedTuple):
    """Feature vectors of the images of a check, (N, D), (T, D) and (U, D) float32."""

    pool: NDArray[np.float32]
    test: NDArray[np.float32]
    unseen: NDArray[np.float32]


def check_set(train: ImageSet, test: ImageSet) -> SetLeaks:
    """Count test images that are in the training set.

    Raises:
        InputError: their heights, widths or channels differ.
    """
    return SetLeaks(_counted(near_copies.find(test.images, train.images), len(test), len(train)))


def check_pool(
    pool: ImageSet,
    test: ImageSet,
    unseen: ImageSet | None,
    *,
    seen: ImageSet | None = None,
    features: Mapping[str, Features] | None = None,
) -> PoolLeaks:
    """Look for test images, and for training images, in a pool.

    Args:
        pool: the images in question; their labels are not used.
        test: the test images.
        unseen: real images of the same kind that the pool's generator has not seen, none of them a test
            image; None where there are none. Identical copies of all of them are counted; for all else at
            most as many of a class are used as there are test images.
        seen: the images that its generator was trained on; None if it was trained elsewhere.
        features: further spaces to measure nearness in, by name; rows as in the image sets.

    Raises:
        InputError: heights, widths, channels or classes differ, or features are not one row for each image.
    """
    unseen = test.take([]) if unseen is None else unseen
    features = features or {}
    _check_alike(pool, test, unseen, features)
    pairs = exchange_test.pairs(test.labels, unseen.labels)
    # One search among test and unseen images together: what is found of a real image must not depend on which
    # of the two it is, if they are to be exchanged.
    reals = np.concatenate([test.images, unseen.images[pairs[:, 1]]])
    found = near_copies.find(pool.images, reals)
    in_test = Pairs(*(part[part[:, 1] < len(test)] for part in found))
    counts = _counted(in_test, len(pool), len(test))
    near = np.unique(found.near[found.near[:, 1] >= len(test), 0])
    training = _training_copies(pool, test.take([]) if seen is None else seen, unseen, near, len(pairs))
    if len(pairs) < FEWEST_PAIRS or not len(pool):
        return PoolLeaks(counts, len(pairs), training=training)
    paired = np.concatenate([test.images[pairs[:, 0]], unseen.images[pairs[:, 1]]])
    nearest = {"pixels": _in_pixels(pool.images, paired)}
    for name, vectors in features.items():
        rows = np.concatenate([vectors.test[pairs[:, 0]], vectors.unseen[pairs[:, 1]]])
        nearest[name] = _in_features(vectors.pool, rows)
    nearness = tuple(_nearness(space, of_space, len(pairs)) for space, of_space in nearest.items())
    return PoolLeaks(counts, len(pairs), _compared(found, pairs[:, 0], len(test)), nearness, training)


def _training_copies(
    pool: ImageSet, seen: ImageSet, unseen: ImageSet, near: NDArray[np.int64], searched: int
) -> TrainingCopies:
    """Count the pool's copies of training images; those at `near` (N,) have near copies among `searched`."""
    of_seen, of_unseen = (near_copies.identical(pool.images, part.images) for part in (seen, unseen))
    others = np.setdiff1d(of_unseen, of_seen)
    further = np.setdiff1d(near, np.union1d(of_seen, of_unseen))
    return TrainingCopies(len(pool), len(of_seen), len(others), len(further), searched)


def _check_alike(pool: ImageSet, test: ImageSet, unseen: ImageSet, features: Mapping[str, Features]) -> None:
    """Refuse unseen images of other classes, and features that are not one row for each image."""
    if unseen.class_names != test.class_names:
        raise InputError(
            f"the unseen images are of other classes ({first_of(unseen.class_names)}) than the test images"
            f" ({first_of(test.class_names)})",
            hint="take them from the dataset that the test images are of",
        )
    wanted = (len(pool), len(test), len(unseen))
    for name, vectors in features.items():
        given = tuple(map(len, vectors))
        if given != wanted:
            rows, images = (
                f"{each[0]} of the pool, {each[1]} test, {each[2]} unseen" for each in (given, wanted)
            )
            raise InputError(
                f"there are features of other images ({rows}) than are checked ({images})",
                where=name,
                hint="give one row for each image, in the images' order",
            )


def _compared(found: Pairs, paired: NDArray[np.int64], test: int) -> Comparison:
    """Compare paired test images (P,) with unseen ones, which follow `test` test images among the reals."""
    marks = np.zeros((2, test + len(paired)), dtype=np.int64)  # with identical copies, and with any
    marks[:, found.exact[:, 1]] = 1
    marks[1, found.near[:, 1]] = 1
    of_test, of_unseen = marks[:, paired], marks[:, test:]
    # Two tests, of identical copies and of all, so each has half of the level.
    least = min(exchange_test.p_value(*sides) for sides in zip(of_test, of_unseen, strict=True))
    (test_exact, test_found), (unseen_exact, unseen_found) = of_test.sum(1), of_unseen.sum(1)
    return Comparison(
        int(test_exact), int(test_found), int(unseen_exact), int(unseen_found), min(2 * least, 1.0)
    )


def _counted(found: Pairs, images: int, others: int) -> Copies:
    """Count the images on either side of pairs; an image with an identical copy does not count as near."""
    identical = [np.unique(column) for column in found.exact.T]
    near = [np.setdiff1d(column, known) for column, known in zip(found.near.T, identical, strict=True)]
    first = np.unique(found.exact[:, 0], return_index=True)[1]
    apart = ~np.isin(found.near[:, 0], identical[0])
    examples = [*found.exact[first][:_EXAMPLES], *found.near[apart][:_EXAMPLES]][:_EXAMPLES]
    return Copies(
        images,
        others,
        len(identical[0]),
        len(near[0]),
        len(identical[1]),
        len(near[1]),
        tuple((int(image), int(other)) for image, other in examples),
    )


def _in_pixels(pool: NDArray[np.uint8], reals: NDArray[np.uint8]) -> Nearest:
    """Return the two real images (M, H, W, C) nearest to each of a pool's (N, H, W, C)."""
    encode = partial(coarse, shifted=False)
    return most_similar(parts(pool), encode, in_threads(encode, parts(reals)), 2)


def _in_features(pool: NDArray[np.float32], reals: NDArray[np.float32]) -> Nearest:
    """Return the two real images nearest to each of a pool's by Euclidean distance of (M, D) and (N, D)."""
    centre = reals.mean(0)
    size = float(np.sqrt(np.square(reals - centre).sum(1).mean())) or 1.0
    mine, theirs = (torch.from_numpy((part - centre) / size).float() for part in (pool, reals))
    # |a - b|² is least where a·b - |b|²/2 is largest.
    mine = torch.cat([mine, torch.ones(len(mine), 1)], dim=1)
    theirs = torch.cat([theirs, theirs.square().sum(1, keepdim=True) / -2], dim=1)
    return most_similar(torch.split(mine, ROWS), _plain, [_plain(theirs)], 2)


def _plain(vectors: Tensor) -> Halves:
    """Return vectors (B, D) that have no mirror image."""
    return Halves(vectors[None], vectors[None, :, :0])


def _nearness(space: str, nearest: Nearest, pairs: int) -> Nearness:
    """Count pool images whose nearest real image is a test image, which come first, and test the count."""
    untied = nearest.similarity[:, 0] - nearest.similarity[:, 1] > _TIE
    counts = np.bincount(nearest.positions[untied, 0], minlength=2 * pairs)
    p_value = exchange_test.p_value(counts[:pairs], counts[pairs:])
    return Nearness(space, int(untied.sum()), int(counts[:pairs].sum()), p_value)
