"""Decoding image files as a viewer shows them, to uint8 arrays of one shape.

Rotated images are turned upright (EXIF), transparent ones lie on white, 16-bit ones keep their upper 8 bits,
floats of 0 to 1 become 0 to 255, an animated one is its first frame, and of several pages it is the first.
Colour profiles are not applied. Only raster formats are opened: no program is ever run to draw a picture.
"""

from __future__ import annotations

import io
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mousterian.errors import InputError, first_line

if TYPE_CHECKING:
    from PIL.Image import Image


GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr")
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
# Tags of EXIF and TIFF, and a TIFF's value of the second for pictures whose 0 is white.
_ORIENTATION, _PHOTOMETRIC, _WHITE_IS_ZERO = 274, 262, 0


def read_image(source: Path | bytes, size: int | None, *, where: str = "") -> NDArray[np.uint8]:
    """Return the picture of a file or of a file's bytes as `decode` does.

    Args:
        source: a file, or the bytes of one.
        size: as for `decode`.
        where: what messages name; default: the file.

    Raises:
        InputError: it is not a regular file, not a picture of `FORMATS`, damaged, truncated or too large, or
            has pixel values whose range is unknown.
    """
    from PIL import Image, UnidentifiedImageError

    where = where or (str(source) if isinstance(source, Path) else "")
    try:
        if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):
            raise InputError("it is not a regular file", where=where, hint="delete it")
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as it:
            return decode(it, size)
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from None
    except UnidentifiedImageError:
        what, hint = "not an image file", f"known formats: {', '.join(FORMATS)}"
        raise InputError(what, where=where, hint=hint) from None
    except Exception as error:  # damaged files fail in many ways, each format in its own
        what = f"the image cannot be read ({first_line(error)})"
        raise InputError(what, where=where, hint="repair it or delete it") from error


def decode(picture: Image, size: int | None) -> NDArray[np.uint8]:
    """Return a picture as a viewer shows it: (H, W, C) uint8, C = 1 if it is grey, else 3.

    Args:
        picture: a PIL image that has just been opened.
        size: resize the shorter side to this (bicubic, with antialiasing) and crop the centre square; None
            keeps the picture's size.

    Raises:
        InputError: the range of its pixel values is unknown.
        OSError, SyntaxError, ValueError: Pillow's, of a damaged file.
    """
    _draft(picture, size)
    picture.load()
    return fitted(_plain(_upright(picture)), size)


def fitted(picture: Image, size: int | None) -> NDArray[np.uint8]:
    """Return a picture of 8 bits without transparency as an array, and otherwise as `decode` does."""
    from PIL import Image

    grey = picture.mode in GREY_MODES
    _draft(picture, size)
    picture = picture.convert("L" if grey else "RGB")
    if size is not None and picture.size != (size, size):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        picture = picture.resize((size, size), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[:, :, None] if grey else pixels


def _draft(picture: Image, size: int | None) -> None:
    if size is not None:
        # A JPEG is decoded at the smallest scale of at least twice the target size: many times faster.
        picture.draft(None, (2 * size, 2 * size))


def _upright(picture: Image) -> Image:
    """Return a picture turned and mirrored as its file says; one whose EXIF data are broken as it is."""
    from PIL.Image import Transpose

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken EXIF data, which viewers pass over too
            orientation = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # they fail in many ways
        return picture
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return picture.transpose(turns[orientation]) if orientation in turns else picture


def _plain(picture: Image) -> Image:
    """Return a picture as 8 bits without transparency, grey ones as mode L."""
    from PIL import Image

    mode, key = picture.mode, picture.info.get("transparency")
    if mode in _ALPHA or (mode in _PLAIN and key is not None):
        if isinstance(key, tuple) and max(key) > 255:
            raise InputError("its transparent colour has 16 bits", hint="save it with 8 bits a channel")
        white = Image.new("RGBA", picture.size, "white")
        seen = Image.alpha_composite(white, picture.convert("RGBA"))
        return seen.convert("L" if mode in GREY_MODES else "RGB")
    if mode in _PLAIN:
        return picture
    if mode not in GREY_MODES:
        raise InputError(f"its pixels are {mode}, not grey, RGB or CMYK", hint="save it as RGB")
    return Image.fromarray(_deep(picture))


def _deep(picture: Image) -> NDArray[np.uint8]:
    """Return grey pixels (H, W) uint8 of a picture of 16 bits, or of floats of 0 to 1."""
    tags = getattr(picture, "tag_v2", {})
    if picture.info.get("transparency") is not None or tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        what = "it has more than 8 bits, and a transparent colour or 0 for white"
        raise InputError(what, hint="save it with 8 bits a channel")
    pixels = np.asarray(picture)
    low, high = pixels.min(), pixels.max()  # both NaN where any pixel is
    if picture.mode == "F":
        if not (low >= 0 and high <= 1):
            what = f"its pixels are floats of {low:g} to {high:g}, not of 0 to 1"
            raise InputError(what, hint="scale them, or save it with 8 bits a channel")
        return np.rint(255 * pixels.astype(np.float64)).astype(np.uint8)
    # Mode I is 32 bits: Pillow's for 16-bit PGM, but also for TIFFs of any range.
    if picture.mode == "I" and (tags or low < 0 or high > 65535):
        raise InputError("its pixels are integers of 32 bits", hint="save it with 8 or 16 bits a channel")
    return (pixels.astype(np.int64) >> 8).astype(np.uint8)


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
