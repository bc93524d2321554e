"""Decoding pictures to uint8 arrays of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mousterian.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


GREY_MODES = ("1", "L", "LA")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")


def decode(picture: Image, size: int | None) -> NDArray[np.uint8]:
    """Return a picture as an array (H, W, C) uint8, C = 1 if it is grey, else 3.

    Args:
        picture: a PIL image of any mode.
        size: resize the shorter side to this (bicubic, with antialiasing) and crop the centre square; None
            keeps the picture's size.
    """
    from PIL import Image

    grey = picture.mode in GREY_MODES
    if size is not None:
        # A JPEG is decoded at the smallest scale of at least twice the target size: many times faster.
        picture.draft(None, (2 * size, 2 * size))
    picture = picture.convert("L" if grey else "RGB")
    if size is not None and picture.size != (size, size):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        picture = picture.resize((size, size), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[:, :, None] if grey else pixels


def stack(pictures: Sequence[NDArray[np.uint8]], *, where: str) -> NDArray[np.uint8]:
    """Return pictures as one array (N, H, W, C) uint8; with mixed modes, grey pictures get three channels.

    Raises:
        InputError: they differ in height or width.
    """
    sizes = {picture.shape[:2] for picture in pictures}
    if len(sizes) > 1:
        smallest, largest = min(sizes), max(sizes)
        raise InputError(
            f"its images differ in size ({smallest[0]}×{smallest[1]} to {largest[0]}×{largest[1]} pixels, …)",
            where=where,
            hint="set the option `size` to resize and crop them all, e.g. size = 64",
        )
    channels = max(picture.shape[2] for picture in pictures)
    height, width = sizes.pop()
    images = np.empty((len(pictures), height, width, channels), dtype=np.uint8)
    for row, picture in zip(images, pictures, strict=True):
        row[:] = picture
    return images
