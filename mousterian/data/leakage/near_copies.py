"""Copies between two sets of images, image by image: identical ones, and near ones.

A near copy is the same picture after a horizontal flip, a shift of up to two pixels, JPEG compression of
quality 50 or better, noise of three grey levels, a change of brightness, or several of these. Every image is
brought to 7×7 cells of brightness, where all flips and shifts of all pairs are compared by matrix products;
the few most similar pairs are then aligned and compared pixel by pixel. How far a near copy may lie from its
original is set by the picture itself: JPEG changes a smooth one little and a busy one much. A picture that
was changed more (cut, scaled, coloured) is a near copy if nothing else is nearly as like it.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mousterian.data.leakage.coarse_images import brightness, coarse, largest_shift, most_similar, parts
from mousterian.data.leakage.threads import in_threads
from mousterian.errors import InputError

# The nearest few by coarse images are compared in pixels, if their correlation is this high. A copy of 8×8
# pixels at JPEG quality 50 is the nearest in 94 % of cases and among the nearest four in 99 %.
CANDIDATES, LEAST_CORRELATION = 4, 0.9
# A near copy differs from its original by at most 1.25 times what JPEG of quality 50 changes, or noise of
# three grey levels if that is more; and by at most half of its contrast.
TOLERANCE, LEAST_ERROR, MOST_OF_CONTRAST = 1.25, 3.0, 0.5
# Pictures that are all but blank are near copies of none: noise would make them so. Grey levels.
LEAST_CONTRAST, MOST_BRIGHTER = 8.0, 32.0
# It may differ by three times as much if its distance by coarse images is under 0.45 of the fifth nearest's.
# In CIFAR-10 this finds four times as many of the test images that are in train.
DISTINCT, MORE_TOLERANCE = 0.45, 3.0
# Rows and columns of pixels compared, and how much of the tolerance is allowed: first a fast rejection.
_STAGES = ((16, 1.5), (32, 1.0))
_NONE = np.zeros((0, 2), dtype=np.int64)
_PIXELS = 2**21  # pixels of either side that are compared at a time
# The quantisation of brightness at JPEG quality 50 (ITU-T T.81, Table K.1).
_JPEG_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip


class Pairs(NamedTuple):
    """Copies as index pairs (image, other).

    Attributes:
        exact: (P, 2) int64, identical pixels. Every image stands here with the first of the others that is
            identical to it, and every other with the first such image.
        near: (Q, 2) int64, near copies, the nearest first; identical ones may be among them.
    """

    exact: NDArray[np.int64]
    near: NDArray[np.int64]


def find(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> Pairs:
    """Return the copies of `images` among `others`.

    Identical images are all found. Near copies of each of `images` are looked for among the four of `others`
    that are most like it.

    Args:
        images: (N, H, W, C) uint8, C = 1 or 3.
        others: (M, H, W, C) uint8.

    Raises:
        InputError: their heights, widths or channels differ.
    """
    if images.shape[1:] != others.shape[1:]:
        sizes = ["×".join(map(str, each.shape[1:])) for each in (images, others)]
        raise InputError(
            f"images of {sizes[0]} cannot be compared with images of {sizes[1]} (height × width × channels)",
            hint="bring both to one size and number of channels first",
        )
    if not len(images) or not len(others):
        return Pairs(_NONE, _NONE)
    return Pairs(_identical(images, others), _near(images, others))


def identical(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the positions of those of `images` (N, H, W, C) that are also in `others` (M, H, W, C)."""
    known = set(_digests(others))
    return np.flatnonzero([each in known for each in _digests(images)])


def _digests(images: NDArray[np.uint8]) -> list[bytes]:
    return [sha256(each.tobytes()).digest() for each in images]


def _identical(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the pairs with identical pixels, as in `Pairs.exact`."""
    mine, theirs = _digests(images), _digests(others)
    first_mine, first_theirs = (
        {digest: index for index, digest in reversed(list(enumerate(part)))} for part in (mine, theirs)
    )
    found = {(index, first_theirs[digest]) for index, digest in enumerate(mine) if digest in first_theirs}
    found |= {(first_mine[digest], index) for index, digest in enumerate(theirs) if digest in first_mine}
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)


def _near(images: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the near copies, as in `Pairs.near`."""
    keys = in_threads(partial(coarse, shifted=False), parts(others))
    nearest = most_similar(parts(images), partial(coarse, shifted=True), keys, CANDIDATES + 1)
    distance = np.sqrt(np.maximum(1 - nearest.similarity, 0))
    distinct = distance < DISTINCT * distance[:, -1:]
    if distance.shape[1] <= CANDIDATES:
        distinct[:] = False  # too few others to say what is usual
    rows, places = np.nonzero(nearest.similarity[:, :CANDIDATES] >= LEAST_CORRELATION)
    pairs = np.stack([rows, nearest.positions[rows, places]], axis=1)
    tolerance = np.where(distinct[rows, places], MORE_TOLERANCE, 1.0) * TOLERANCE
    height, width = images.shape[1:3]
    size = max(1, _PIXELS // (height * width))
    slices = [slice(start, start + size) for start in range(0, len(pairs), size)]
    errors = in_threads(lambda part: _errors(images, others, pairs[part], tolerance[part]), slices)
    error = np.concatenate([np.zeros(0, dtype=np.float32), *errors])
    order = np.argsort(error, kind="stable")
    return pairs[order][: np.isfinite(error).sum()]


def _errors(
    images: NDArray[np.uint8],
    others: NDArray[np.uint8],
    pairs: NDArray[np.int64],
    tolerance: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return how much each of the pairs differs in pixels, (P,) grey levels; infinite if it is no near copy.

    Args:
        images, others: (N, H, W, C) and (M, H, W, C) uint8.
        pairs: (P, 2) indices into them.
        tolerance: (P,) what is allowed, in units of what JPEG changes.
    """
    mine, theirs = brightness(images[pairs[:, 0]]), brightness(others[pairs[:, 1]])
    usual = torch.maximum(jpeg_error(mine), jpeg_error(theirs)).clamp_(min=LEAST_ERROR)
    contrast = torch.minimum(mine.flatten(1).std(1, correction=0), theirs.flatten(1).std(1, correction=0))
    allowed = torch.minimum(usual * torch.from_numpy(tolerance).float(), contrast * MOST_OF_CONTRAST)
    allowed[contrast < LEAST_CONTRAST] = 0
    errors = torch.full((len(pairs),), torch.inf)
    left = torch.arange(len(pairs))
    for grid, more in _STAGES:
        error = aligned_error(mine[left], theirs[left], grid)
        passed = error < more * allowed[left]
        left, error = left[passed], error[passed]
    errors[left] = error
    return errors.numpy()


def aligned_error(images: Tensor, others: Tensor, grid: int) -> Tensor:
    """Return the smallest root mean squared difference over flips and shifts, (P,) grey levels.

    A small difference of mean brightness does not count.

    Args:
        images, others: (P, H, W) float32, compared pair by pair where they overlap.
        grid: rows and columns of pixels that are compared at least, spread evenly over the picture.
    """
    height, width = images.shape[1:]
    step, most = max(1, min(height, width) // grid), largest_shift(height, width)
    smallest = torch.full((len(images),), torch.inf)
    shifts = range(-most, most + 1)
    for turned, down, right in product((images, images.flip(2)), shifts, shifts):
        rows, columns = _overlap(height, down, step), _overlap(width, right, step)
        difference = (turned[:, rows[0], columns[0]] - others[:, rows[1], columns[1]]).flatten(1)
        brighter = difference.mean(1, keepdim=True)
        error = (difference - brighter).square_().mean(1)
        error[brighter[:, 0].abs() > MOST_BRIGHTER] = torch.inf
        torch.minimum(smallest, error, out=smallest)
    return smallest.sqrt_()


def _overlap(side: int, shift: int, step: int) -> tuple[slice, slice]:
    """Return every `step`-th place along a side where a picture and a shifted one overlap, in either."""
    first, second = max(0, shift), max(0, -shift)
    return slice(first, side - second, step), slice(second, side - first, step)


def jpeg_error(images: Tensor) -> Tensor:
    """Return how far JPEG of quality 50 moves the brightness of images (P, H, W), (P,) grey levels."""
    height, width = images.shape[1:]
    padded = functional.pad(images[:, None] - 128, (0, -width % 8, 0, -height % 8), mode="replicate")[:, 0]
    blocks = padded.unfold(1, 8, 8).unfold(2, 8, 8)
    waves = _cosines()
    coefficients = waves @ blocks @ waves.T
    steps = torch.tensor(_JPEG_STEPS, dtype=torch.float32)
    # The transform keeps lengths, so the error of the coefficients is that of the pixels.
    lost = coefficients - steps * (coefficients / steps).round()
    return lost.square().mean((1, 2, 3, 4)).sqrt()


def _cosines() -> Tensor:
    """Return the discrete cosine transform of eight values, (8, 8) float32, orthonormal."""
    place = torch.arange(8)
    waves = torch.cos(torch.pi / 8 * (place + 0.5) * place[:, None]) / 2
    waves[0] /= 2**0.5
    return waves
