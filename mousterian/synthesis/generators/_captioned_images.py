"""Captioned images on disk: read through once by their captions, fetched one by one afterwards.

Three layouts: parquet with a column of paths or of encoded bytes beside the captions; webdataset tars, whose
members KEY.jpg and KEY.txt or KEY.json belong together; a folder of either. Nothing is ever unpacked.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mousterian.data.decoding import SUFFIXES, decode
from mousterian.errors import InputError, nearest

_IMAGES, _CAPTIONS = (
    ("image", "jpg", "path", "image_path", "file_name"),
    ("caption", "text", "TEXT", "prompt"),
)
ROWS = 1024  # rows of parquet read at once


class Location(NamedTuple):
    """Where an image's encoded bytes lie.

    Attributes:
        file: an image, a tar or a parquet file.
        start: byte in a tar, row in a parquet file, -1 for an image.
        size: bytes in a tar, else -1.
    """

    file: str
    start: int
    size: int


class Captioned(NamedTuple):
    """An image's place and its caption."""

    place: Location
    caption: str


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a parquet file; found by the usual names where empty."""

    image: str = ""
    caption: str = ""


def captions(path: Path, columns: Columns) -> Iterator[Captioned]:
    """Yield every captioned image of a file or a folder, in the order of the files' names.

    Raises:
        InputError: there is nothing there, or a file cannot be read.
    """
    for file in _files(path):
        yield from _of_tar(file) if file.suffix == ".tar" else _of_parquet(file, columns)


def _files(path: Path) -> Sequence[Path]:
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.suffix in {".parquet", ".tar"})
    else:
        files = [path] if path.is_file() and path.suffix in {".parquet", ".tar"} else []
    if not files:
        raise InputError(
            "there are no captioned images here",
            where=str(path),
            hint="give `path` a .parquet or an (uncompressed) .tar file, or a folder of such files",
        )
    return files


def _of_parquet(file: Path, columns: Columns) -> Iterator[Captioned]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            names = table.schema_arrow.names
            image = _column(columns.image, _IMAGES, names, file, "image")
            caption = _column(columns.caption, _CAPTIONS, names, file, "caption")
            kind = table.schema_arrow.field(image).type
            paths = pa.types.is_string(kind) or pa.types.is_large_string(kind)
            row = 0
            for batch in table.iter_batches(ROWS, columns=[caption, image] if paths else [caption]):
                texts = batch.column(0).to_pylist()
                cells = batch.column(1).to_pylist() if paths else range(row, row + len(texts))
                for cell, text in zip(cells, texts, strict=True):
                    if text and cell is not None:
                        place = (
                            Location(str(file.parent / cell), -1, -1)
                            if paths
                            else Location(str(file), cell, -1)
                        )
                        yield Captioned(place, str(text))
                row += len(texts)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not a readable parquet file ({error})", where=str(file)) from error


def _column(given: str, usual: Sequence[str], there: Sequence[str], file: Path, what: str) -> str:
    name = given or next((each for each in usual if each in there), "")
    if name not in there:
        close = nearest(name, there) if name else None
        raise InputError(
            f"has no column {name!r}" if name else f"has no column of {what}s by a usual name",
            where=str(file),
            hint=f"give {what}_column = {close!r}"
            if close
            else f"it has: {', '.join(there)}; give {what}_column",
        )
    return name


def _of_tar(file: Path) -> Iterator[Captioned]:
    """Yield the pairs of a webdataset; members of one key follow one another."""
    key, place, caption = "", None, ""
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                stem, _, suffix = member.name.rpartition(".")
                if not member.isfile():
                    continue
                if stem != key:
                    if place and caption:
                        yield Captioned(place, caption)
                    key, place, caption = stem, None, ""
                if f".{suffix.lower()}" in SUFFIXES:
                    place = Location(str(file), member.offset_data, member.size)
                elif suffix in {"txt", "json"}:
                    raw = tar.extractfile(member)
                    caption = caption or _caption(raw.read() if raw else b"", suffix)
            if place and caption:
                yield Captioned(place, caption)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise InputError(f"not a readable, uncompressed tar ({error})", where=str(file)) from error


def _caption(raw: bytes, suffix: str) -> str:
    if suffix == "txt":
        return raw.decode("utf-8", "replace").strip()
    table = json.loads(raw)
    return next((str(table[name]) for name in _CAPTIONS if isinstance(table, dict) and table.get(name)), "")


def pictures(
    places: Sequence[Location], size: int, columns: Columns
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return images (N, size, size, 3) uint8 and which of them could be read (N,); the others are black."""
    images = np.zeros((len(places), size, size, 3), dtype=np.uint8)
    read = np.zeros(len(places), dtype=bool)
    # In the order of files and rows, so that each part of a file is read once.
    for number in sorted(range(len(places)), key=lambda place: places[place]):
        pixels = _picture(places[number], size, columns)
        if pixels is not None:
            images[number], read[number] = pixels, True
    return images, read


def _picture(place: Location, size: int, columns: Columns) -> NDArray[np.uint8] | None:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(_bytes(place, columns))) as picture:
            return decode(picture, size)
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError):
        return None


def _bytes(place: Location, columns: Columns) -> bytes:
    if place.start < 0:
        return Path(place.file).read_bytes()
    if place.size < 0:
        first, cells = _group(place.file, place.start, columns)
        return _raw(cells[place.start - first])
    with Path(place.file).open("rb") as file:
        file.seek(place.start)
        return file.read(place.size)


def _raw(cell: Any) -> bytes:
    """Return the bytes of a cell; Hugging Face keeps an image as a struct of bytes and its file's name."""
    raw: bytes = cell["bytes"] if isinstance(cell, dict) else cell
    return raw


def _group(file: str, row: int, columns: Columns) -> tuple[int, Sequence[Any]]:
    """Return the first row and the images of the row group that a row lies in."""
    ends = _ends(file)
    number = int(np.searchsorted(ends, row, side="right"))
    return (int(ends[number - 1]) if number else 0), _cells(file, number, columns)


@lru_cache(maxsize=64)
def _ends(file: str) -> NDArray[np.int64]:
    import pyarrow.parquet as pq

    kept = pq.read_metadata(file)
    return np.cumsum([kept.row_group(number).num_rows for number in range(kept.num_row_groups)])


@lru_cache(maxsize=2)
def _cells(file: str, number: int, columns: Columns) -> Sequence[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        image = _column(columns.image, _IMAGES, table.schema_arrow.names, Path(file), "image")
        cells: list[Any] = table.read_row_group(number, columns=[image]).column(0).to_pylist()
        return cells
