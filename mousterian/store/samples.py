"""Sample sheets as files beside a store's rows: PNGs with embedded title, caption and description.

Pools are too large to publish with the rows; a report shows these instead. Needs no torch.
"""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mousterian.errors import InputError
from mousterian.files import write_atomically

FOLDER = "samples"
# Keywords registered in the PNG specification (W3C, Portable Network Graphics, 11.3.4.2).
_TITLE, _CAPTION, _ALT = "Title", "Comment", "Description"


def save(sheets: Sequence[Sheet], folder: Path) -> list[Path]:
    """Write sheets to a folder, numbered in order, and return their files.

    Raises:
        InputError: the folder cannot be written.
    """
    paths = []
    for index, sheet in enumerate(sheets, start=1):
        name = re.sub(r"[^a-z0-9]+", "-", sheet.title.lower()).strip("-")
        path = folder / f"{index:02}-{name}.png"
        texts = {_TITLE: sheet.title, _CAPTION: sheet.caption, _ALT: sheet.alt}
        write_atomically(path, _with_texts(sheet.png, texts))
        paths.append(path)
    return paths


def load(folder: Path) -> tuple[Sheet, ...]:
    """Return the sheets that `save` wrote, in order; none if there is no folder.

    Raises:
        InputError: a file is not a PNG, or lacks a title, caption or description.
    """
    return tuple(_sheet(path) for path in sorted(folder.glob("*.png")))


def _sheet(path: Path) -> Sheet:
    from PIL import Image, UnidentifiedImageError

    try:
        png = path.read_bytes()
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            image.load()  # texts may follow the pixels
            texts, (width, height) = image.info, image.size
        return Sheet(texts[_TITLE], texts[_CAPTION], texts[_ALT], png, width, height)
    except (OSError, ValueError, LookupError, SyntaxError) as error:  # the last is Pillow's for a broken PNG
        reason = "not a PNG" if isinstance(error, UnidentifiedImageError) else error
        raise InputError(
            f"not a sample sheet ({reason})",
            where=str(path),
            hint="remove the file; `mousterian generate --samples FOLDER` writes sample sheets",
        ) from None


def _with_texts(png: bytes, texts: Mapping[str, str]) -> bytes:
    """Return a PNG with embedded texts."""
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.save(buffer, "png", pnginfo=info, optimize=True)
    return buffer.getvalue()


@dataclass(frozen=True)
class Sheet:
    """A sheet of sample images: a PNG with its title, caption and size in pixels."""

    title: str
    caption: str
    alt: str
    png: bytes
    width: int
    height: int

    @property
    def source(self) -> str:
        """The image as a data URL."""
        return f"data:image/png;base64,{b64encode(self.png).decode()}"
