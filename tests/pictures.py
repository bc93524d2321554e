"""Pictures in every mode, depth and orientation, with what a person sees of them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Transpose

# How a camera turns what a person sees before it writes it under an orientation.
STORED = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
FORMATS = {
    "1": ["PNG", "TIFF", "BMP"],
    "L": ["PNG", "TIFF", "BMP", "PPM"],
    "P": ["PNG", "TIFF", "BMP"],
    "RGB": ["PNG", "TIFF", "BMP", "PPM", "WEBP"],
    "LA": ["PNG", "TIFF"],
    "RGBA": ["PNG", "TIFF", "WEBP"],
    "CMYK": ["TIFF"],
    "I;16": ["PNG", "TIFF", "PPM"],
    "F": ["TIFF"],
}


def drawn(mode: str, height: int, width: int, seed: int) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Return a picture of a mode and, from its own numbers alone, what a person sees (H, W, C)."""
    random = np.random.default_rng(seed)
    grey = random.integers(0, 256, (height, width), dtype=np.uint8)
    colours = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    clear = random.choice([0, 255], (height, width)).astype(np.uint8)
    if mode == "1":
        return Image.fromarray(grey > 127), np.where(grey > 127, 255, 0).astype(np.uint8)[..., None]
    if mode == "L":
        return Image.fromarray(grey), grey[..., None]
    if mode == "RGB":
        return Image.fromarray(colours), colours
    if mode == "P":
        picture = Image.new("P", (width, height))
        picture.putdata((grey % 4).ravel().tolist())
        table = random.integers(0, 256, (4, 3), dtype=np.uint8)
        picture.putpalette(table.tobytes())
        return picture, table[grey % 4]
    if mode == "LA":
        seen = np.where(clear == 255, grey, 255).astype(np.uint8)[..., None]
        return Image.fromarray(np.dstack([grey, clear]), "LA"), seen
    if mode == "RGBA":
        seen = np.where(clear[..., None] == 255, colours, 255).astype(np.uint8)
        return Image.fromarray(np.dstack([colours, clear]), "RGBA"), seen
    if mode == "CMYK":  # no black: what is not cyan is red, and so on
        black = np.zeros((height, width, 1), dtype=np.uint8)
        return Image.fromarray(np.dstack([255 - colours, black]), "CMYK"), colours
    if mode == "I;16":
        deep = random.integers(0, 1 << 16, (height, width)).astype(np.uint16)
        return Image.fromarray(deep), (deep // 256).astype(np.uint8)[..., None]
    return Image.fromarray(grey.astype(np.float32) / 255), grey[..., None]


def encoded(picture: Image.Image, form: str, **more: Any) -> bytes:
    buffer = io.BytesIO()
    lossless = {"lossless": True, "exact": True} if form == "WEBP" else {}
    picture.save(buffer, form, **lossless, **more)
    return buffer.getvalue()


def turned(picture: Image.Image, form: str, orientation: int) -> bytes:
    """Return a file of a picture as a camera writes it under an orientation; upright without tags."""
    if form in ("BMP", "PPM"):
        return encoded(picture, form)
    exif, turn = Image.Exif(), STORED[orientation]
    exif[274] = orientation
    return encoded(picture if turn is None else picture.transpose(turn), form, exif=exif)
