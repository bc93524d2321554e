"""A pool's files: shards of a fixed number of images, and the finished batches of one that is being made."""

from __future__ import annotations

import io
import math
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.files import write_atomically

IMAGES_A_SHARD = 256
# What reading a damaged shard raises, by where the damage is.
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
DAMAGED = ".damaged"
Arrays = dict[str, NDArray[Any]]


def size(classes: int) -> int:
    """Return how many images a shard holds: whole turns of the classes."""
    return classes * math.ceil(IMAGES_A_SHARD / classes)


def path(folder: Path, number: int) -> Path:
    """Return where a shard is, or will be."""
    return folder / f"shard-{number:05d}.npz"


def there(folder: Path) -> Iterator[Path]:
    """Yield a pool's shards up to the first that is missing."""
    number = 0
    while (file := path(folder, number)).exists():
        yield file
        number += 1


def read(file: Path) -> Arrays:
    """Return all arrays of a shard; their sums are checked (raises DAMAGE)."""
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
        found = {name: held[name] for name in held.files}
    if "images" not in found or len(found["images"]) != len(found["labels"]):
        raise ValueError("it has no images, or not as many as labels")
    return found


def column(file: Path, name: str) -> NDArray[Any] | None:
    """Return one array of a shard, None if it has none of that name (raises DAMAGE)."""
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
        found: NDArray[Any] | None = held[name] if name in held.files else None
    return found


def write(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a shard, whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    write_atomically(file, buffer.getvalue())


def set_aside(file: Path) -> Path:
    """Take a damaged shard out of its pool, under another name beside it, and return that."""
    aside = file.with_name(file.name + DAMAGED)
    file.replace(aside)
    return aside


def sweep(folder: Path) -> None:
    """Remove what a killed writer has left half-written; nobody else may be writing."""
    for file in folder.glob(".*.tmp"):
        with suppress(OSError):
            file.unlink()


def joined(folder: Path, starts: range, count: int, make: Callable[[int, int], Arrays]) -> Arrays:
    """Return the arrays of batches, joined; each is kept once it is made, so that a killed maker loses one.

    Args:
        folder: of the pool; the batches lie in `batches` below it until `forget`.
        starts: where the batches begin among the pool's images.
        count: where the last one ends.
        make: the batch from one position to another.
    """
    if len(starts) == 1:
        return make(starts[0], count)
    parts = []
    for start in starts:
        end = min(start + starts.step, count)
        file = folder / "batches" / f"{start:09d}-{end:09d}.npz"
        try:
            parts.append(read(file))
        except DAMAGE:  # most often: it is not there yet
            parts.append(make(start, end))
            write(file, parts[-1])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def forget(folder: Path) -> None:
    """Remove the batches of a shard that is whole."""
    shutil.rmtree(folder / "batches", ignore_errors=True)
