"""Captioned images on disk: one pass over the captions, then random access to the images.

Three layouts: parquet with a column of captions and one of paths or encoded bytes; WebDataset tars, with
members KEY.jpg and KEY.txt or KEY.json; a folder of either. Archives are never unpacked. Paths must lead to
images in the same folder: what is stamped is all that is read.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mousterian.data.decoding import SUFFIXES, read_image
from mousterian.data.listing import listing
from mousterian.errors import InputError, nearest

_IMAGES, _CAPTIONS = (
    ("image", "jpg", "path", "image_path", "file_name"),
    ("caption", "text", "TEXT", "prompt"),
)
ROWS = 1024  # rows of parquet read at a time


class Location(NamedTuple):
    """Location of an image's encoded bytes.

    Attributes:
        file: an image, a tar or a parquet file.
        start: byte in a tar, row in a parquet file, -1 for an image.
        size: bytes in a tar, else -1.
    """

    file: str
    start: int
    size: int


class Captioned(NamedTuple):
    """An image's location and its caption."""

    location: Location
    caption: str


@dataclass(frozen=True)
class Columns:
    """Column names of a parquet file; if empty, the usual names are tried."""

    image: str = ""
    caption: str = ""


def captions(path: Path, columns: Columns) -> Iterator[Captioned]:
    """Yield every captioned image of a file or a folder, in the order of the files' names.

    Raises:
        InputError: there are no captioned images, a file cannot be read, or an image lies elsewhere.
    """
    listed = listing(path).paths()
    inside: frozenset[str] = frozenset()
    for file in _files(path, listed):
        for each in _of_tar(file) if file.suffix == ".tar" else _of_parquet(file, columns):
            if each.location.start < 0:
                inside = inside or frozenset(map(os.path.realpath, listed))
                _check_inside(each.location.file, inside, path)
            yield each


def _check_inside(file: str, inside: frozenset[str], path: Path) -> None:
    """Refuse an image that is none of the files that the stamp of `path` counts; missing ones pass."""
    if os.path.realpath(file) not in inside and Path(file).exists():
        raise InputError(
            f"an image lies outside it, or is hidden: {file}",
            where=str(path),
            hint="it could be replaced unnoticed: put the list and its images into one folder, and set `path`"
            " to that",
        )


def _files(path: Path, listed: Sequence[Path]) -> Sequence[Path]:
    files = [each for each in listed if each.suffix in {".parquet", ".tar"}]
    if not files:
        raise InputError(
            "there are no captioned images here",
            where=str(path),
            hint="set `path` to a .parquet or an (uncompressed) .tar file, or a folder of such files",
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
                        location = (
                            Location(str(file.parent / cell), -1, -1)
                            if paths
                            else Location(str(file), cell, -1)
                        )
                        yield Captioned(location, str(text))
                row += len(texts)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not a readable parquet file ({error})", where=str(file)) from error


def _column(given: str, usual: Sequence[str], names: Sequence[str], file: Path, what: str) -> str:
    name = given or next((each for each in usual if each in names), "")
    if name not in names:
        close = nearest(name, names) if name else None
        raise InputError(
            f"has no column {name!r}" if name else f"has no column of {what}s with a usual name",
            where=str(file),
            hint=f"set {what}_column = {close!r}"
            if close
            else f"it has: {', '.join(names)}; set {what}_column",
        )
    return name


def _of_tar(file: Path) -> Iterator[Captioned]:
    """Yield the image-caption pairs of a WebDataset tar; members of one key are adjacent."""
    key, location, caption = "", None, ""
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                stem, _, suffix = member.name.rpartition(".")
                if not member.isfile():
                    continue
                if stem != key:
                    if location and caption:
                        yield Captioned(location, caption)
                    key, location, caption = stem, None, ""
                if f".{suffix.lower()}" in SUFFIXES:
                    location = Location(str(file), member.offset_data, member.size)
                elif suffix in {"txt", "json"}:
                    raw = tar.extractfile(member)
                    caption = caption or _caption(raw.read() if raw else b"", suffix)
            if location and caption:
                yield Captioned(location, caption)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise InputError(f"not a readable, uncompressed tar ({error})", where=str(file)) from error


def _caption(raw: bytes, suffix: str) -> str:
    if suffix == "txt":
        return raw.decode("utf-8", "replace").strip()
    table = json.loads(raw)
    return next((str(table[name]) for name in _CAPTIONS if isinstance(table, dict) and table.get(name)), "")


def load_images(
    locations: Sequence[Location], size: int, columns: Columns
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return images (N, size, size, 3) uint8 and which of them could be read (N,); the others are black."""
    images = np.zeros((len(locations), size, size, 3), dtype=np.uint8)
    read = np.zeros(len(locations), dtype=bool)
    # In the order of files and rows, so that each row group is read once.
    for number in sorted(range(len(locations)), key=lambda each: locations[each]):
        pixels = _image(locations[number], size, columns)
        if pixels is not None:
            images[number], read[number] = pixels, True
    return images, read


def _image(location: Location, size: int, columns: Columns) -> NDArray[np.uint8] | None:
    try:
        source = Path(location.file) if location.start < 0 else _bytes(location, columns)
        return read_image(source, size)
    except (OSError, InputError):
        return None


def _bytes(location: Location, columns: Columns) -> bytes:
    if location.size < 0:
        first, cells = _group(location.file, location.start, columns)
        return encoded_image(cells[location.start - first]) or b""  # which is no picture
    with Path(location.file).open("rb") as file:
        file.seek(location.start)
        return file.read(location.size)


def encoded_image(cell: Any) -> bytes | None:
    """Return the bytes of a parquet cell or None; Hugging Face stores a struct of bytes and path."""
    raw = cell.get("bytes") if isinstance(cell, dict) else cell
    return raw if isinstance(raw, bytes) else None


def _group(file: str, row: int, columns: Columns) -> tuple[int, Sequence[Any]]:
    """Return the first row and the images of the row group that contains a row."""
    ends = _group_ends(file)
    number = int(np.searchsorted(ends, row, side="right"))
    return (int(ends[number - 1]) if number else 0), _cells(file, number, columns)


@lru_cache(maxsize=64)
def _group_ends(file: str) -> NDArray[np.int64]:
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    return np.cumsum([metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)])


@lru_cache(maxsize=2)
def _cells(file: str, number: int, columns: Columns) -> Sequence[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        image = _column(columns.image, _IMAGES, table.schema_arrow.names, Path(file), "image")
        cells: list[Any] = table.read_row_group(number, columns=[image]).column(0).to_pylist()
        return cells
