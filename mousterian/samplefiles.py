"""Sample sheets as files beside a store's rows: PNGs that carry their own title, caption and description.

Pools are too large to travel with the rows; these are what a report shows where there are no pools. Needs
neither torch nor Pillow.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from mousterian.errors import InputError
from mousterian.report_store import Sheet
from mousterian.store import write_atomically

FOLDER = "samples"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Keywords that PNG itself knows (W3C, Portable Network Graphics, 11.3.4.2).
_TITLE, _CAPTION, _ALT = "Title", "Comment", "Description"


def save(sheets: Sequence[Sheet], folder: Path) -> list[Path]:
    """Write sheets into a folder, in their order by name, and return their files.

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
    """Return the sheets that `save` wrote, in the order of their names; none where there is no folder.

    Raises:
        InputError: a file is no PNG, or carries no title, caption or description.
    """
    return tuple(_sheet(path) for path in sorted(folder.glob("*.png")))


def _sheet(path: Path) -> Sheet:
    png = path.read_bytes()
    try:
        chunks = list(_chunks(png))
        width, height = struct.unpack(">II", chunks[0][1][:8])
        texts = dict(_text(body) for kind, body in chunks if kind == b"iTXt")
        return Sheet(texts[_TITLE], texts[_CAPTION], texts[_ALT], png, width, height)
    except (ValueError, LookupError, struct.error) as error:
        raise InputError(
            f"this is no sample sheet ({error})",
            where=str(path),
            hint="`mousterian generate --samples FOLDER` makes them; take the file away",
        ) from None


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield a PNG's chunks: type and content."""
    if not png.startswith(_SIGNATURE):
        raise ValueError("it does not begin as a PNG")
    at = len(_SIGNATURE)
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        yield kind, png[at + 8 : at + 8 + length]
        at += length + 12


def _with_texts(png: bytes, texts: dict[str, str]) -> bytes:
    """Return a PNG with texts set before its end."""
    end = png.rindex(b"IEND") - 4
    added = b"".join(_chunk(b"iTXt", f"{name}\0\0\0\0\0{text}".encode()) for name, text in texts.items())
    return png[:end] + added + png[end:]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _text(body: bytes) -> tuple[str, str]:
    """Return an uncompressed iTXt chunk's keyword and text."""
    name, _, rest = body.partition(b"\0")
    language_and_on = rest[2:].split(b"\0", 2)
    return name.decode("latin-1"), language_and_on[2].decode()
