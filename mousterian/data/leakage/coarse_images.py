"""Coarse images, and the most similar of many by matrix products, whichever way round they are.

A coarse image is 7×7 cells of mean brightness, less their mean and at unit length, so that the product of two
is a correlation. It is kept as the part that a mirror leaves as it is and the part that it turns into its
negative: the larger of both correlations, as it is and mirrored, is then the product of the first parts plus
the size of the product of the second parts, for the price of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mousterian.data.leakage.threads import Part, in_threads
from mousterian.data.resizing import to_tensor, with_channels

SHIFT = 2  # pixels, up, down, left and right
CELLS = 7
ROWS, _COLUMNS = 256, 2048  # similarities held at a time: they fit a processor's cache


class Halves(NamedTuple):
    """B vectors in each of S shifts, as a mirror sees them: even (S, B, D), odd (S, B, D') float32."""

    even: Tensor
    odd: Tensor


class Nearest(NamedTuple):
    """The k most similar keys of each of N queries: similarity (N, k), falling; positions (N, k) int64."""

    similarity: NDArray[np.float32]
    positions: NDArray[np.int64]


def brightness(images: NDArray[np.uint8]) -> Tensor:
    """Return the brightness of images (N, H, W, C) uint8 as (N, H, W) float32, 0 to 255."""
    return with_channels(to_tensor(images, "cpu"), 1)[:, 0].mul(255)


def largest_shift(height: int, width: int) -> int:
    """Return by how many pixels images of this size are shifted at most; tiny ones by less."""
    return min(SHIFT, (min(height, width) - 1) // 3)


def parts(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return images (N, H, W, C) in parts, none of them copied."""
    return [images[start : start + ROWS] for start in range(0, len(images), ROWS)]


def coarse(images: NDArray[np.uint8], *, shifted: bool) -> Halves:
    """Return the coarse images of (N, H, W, C) uint8; the margin that a shift can push out is left out.

    Args:
        images: (N, H, W, C) uint8.
        shifted: in every shift that makes a difference, in place of none.
    """
    height, width = images.shape[1:3]
    rows, columns = (_cells(side, largest_shift(height, width), shifted) for side in (height, width))
    shape = (len(images), len(rows), rows.shape[1], len(columns), columns.shape[1])
    cells = rows.flatten(0, 1) @ brightness(images) @ columns.flatten(0, 1).T
    return halves(cells.reshape(shape).permute(1, 3, 0, 2, 4).flatten(0, 1))


def _cells(side: int, margin: int, shifted: bool) -> Tensor:
    """Return the means of pixels that are a shift's cells along one side: (shifts, cells, side) float32."""
    inner = side - 2 * margin
    cells = min(CELLS, inner)
    # A shift of an eighth of a cell makes no difference that matters.
    step = 1 if inner < 8 * cells else 2 if inner < 16 * cells else side
    shifts = [shift for shift in range(-margin, margin + 1) if shifted and shift % step == 0] or [0]
    edges = torch.linspace(0, inner, cells + 1)
    pixels = torch.arange(side)
    weights = []
    for shift in shifts:
        low, high = (edges[:-1, None] + margin + shift, edges[1:, None] + margin + shift)
        weights.append((torch.minimum(high, pixels + 1) - torch.maximum(low, pixels)).clamp_(min=0))
    return torch.stack(weights) * (cells / inner)


def halves(cells: Tensor) -> Halves:
    """Return images (S, B, rows, columns) as what a mirror sees of them, each of mean 0 and length 1."""
    cells = cells - cells.mean((2, 3), keepdim=True)
    length = cells.square().sum((2, 3), keepdim=True).sqrt()
    cells = cells / length.clamp_(min=1.0)  # images that are all but blank stay small
    mirrored = cells.flip(3)
    even, odd = (cells + mirrored) / 2, (cells - mirrored) / 2
    # Of columns that say the same one is kept, times the root of two; the middle one stands for itself.
    columns = cells.shape[3]
    middle = columns // 2
    even, odd = even[..., : columns - middle] * 2**0.5, odd[..., :middle] * 2**0.5
    if columns % 2:
        even[..., middle] /= 2**0.5
    return Halves(even.flatten(2), odd.flatten(2))


def most_similar(
    queries: Iterable[Part], encode: Callable[[Part], Halves], keys: Iterable[Halves], k: int
) -> Nearest:
    """Return the k most similar of M keys, in any shift and mirrored or not, of each of N queries.

    Args:
        queries: parts of the N; there must be one.
        encode: returns the vectors of a part, in one or more shifts.
        keys: parts of the M, in one shift.
        k: how many; all where there are no more.
    """
    even, odd = (torch.cat(each, 1)[0].T.contiguous() for each in zip(*keys, strict=True))
    most = min(k, even.shape[1])
    found = in_threads(lambda part: _similarities(encode(part), even, odd).topk(most), queries)
    return Nearest(
        torch.cat([part.values for part in found]).numpy(),
        torch.cat([part.indices for part in found]).numpy(),
    )


def _similarities(part: Halves, even: Tensor, odd: Tensor) -> Tensor:
    """Return the largest similarity over shifts, (B, M), of keys (D, M) and (D', M)."""
    largest = torch.full((part.even.shape[1], even.shape[1]), -torch.inf)
    for start in range(0, even.shape[1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        here = largest[:, columns]
        for mine, other in zip(part.even, part.odd, strict=True):
            similarity = (mine @ even[:, columns]).add_((other @ odd[:, columns]).abs_())
            torch.maximum(here, similarity, out=here)
    return largest
