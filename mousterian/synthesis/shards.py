"""A pool's files: shards of a fixed number of images, finished batches of the one being made, and notes."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.data.cache import DAMAGE, open_npz
from mousterian.files import write_atomically

IMAGES_A_SHARD = 256
_NOTES = "notes.json"
_DAMAGED_SUFFIX = ".damaged"
Arrays = dict[str, NDArray[Any]]


def size(classes: int) -> int:
    """Return how many images a shard holds: a multiple of the number of classes."""
    return classes * math.ceil(IMAGES_A_SHARD / classes)


def path(folder: Path, number: int) -> Path:
    """Return the path of a shard, which may not exist yet."""
    return folder / f"shard-{number:05d}.npz"


def existing(folder: Path) -> Iterator[Path]:
    """Yield a pool's shards up to the first that is missing."""
    number = 0
    while (file := path(folder, number)).exists():
        yield file
        number += 1


def read(file: Path) -> Arrays:
    """Return all arrays of a shard; their checksums are verified (raises DAMAGE)."""
    with open_npz(file) as archive:
        found = {name: archive[name] for name in archive.files}
    if "images" not in found or len(found["images"]) != len(found["labels"]):
        raise ValueError("it has no images, or not as many as labels")
    return found


def column(file: Path, name: str) -> NDArray[Any] | None:
    """Return one array of a shard, or None if it has no array of that name (raises DAMAGE)."""
    with open_npz(file) as archive:
        return archive[name] if name in archive.files else None


def images_in(folder: Path) -> int:
    """Return the number of images before a pool's first missing or damaged shard; only labels are read."""
    found = 0
    for file in existing(folder):
        try:
            labels = column(file, "labels")
        except DAMAGE:
            break
        found += 0 if labels is None else len(labels)
    return found


def notes(folder: Path) -> tuple[str, ...]:
    """Return what a pool's generator left out of its source or converted, as sentences; mostly none."""
    try:
        return tuple(json.loads((folder / _NOTES).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return ()


def add_notes(folder: Path, new: Sequence[str]) -> None:
    """Add sentences to a pool's notes, each once; atomically."""
    before = notes(folder)
    after = tuple(dict.fromkeys([*before, *new]))
    if after != before:
        write_atomically(folder / _NOTES, json.dumps(after, ensure_ascii=False).encode())


def write(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a shard atomically."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    write_atomically(file, buffer.getvalue())


def set_aside(file: Path) -> Path:
    """Rename a damaged shard so that the pool no longer contains it, and return its new path."""
    aside = file.with_name(file.name + _DAMAGED_SUFFIX)
    file.replace(aside)
    return aside


def remove_temporary_files(folder: Path) -> None:
    """Remove temporary files of a killed writer; no other process may be writing."""
    for file in folder.glob(".*.tmp"):
        with suppress(OSError):  # they do no harm
            file.unlink()


def join_batches(folder: Path, starts: range, count: int, make: Callable[[int, int], Arrays]) -> Arrays:
    """Return the concatenated arrays of batches; each is saved, so that a killed run loses only one.

    Args:
        folder: of the pool; the batches are in its subfolder `batches` until `remove_batches`.
        starts: positions in the pool of each batch's first image.
        count: position at which the last batch ends.
        make: generates the batch between two positions.
    """
    if len(starts) == 1:
        return make(starts[0], count)
    parts = []
    for start in starts:
        end = min(start + starts.step, count)
        file = folder / "batches" / f"{start:09d}-{end:09d}.npz"
        try:
            parts.append(read(file))
        except DAMAGE:  # usually: it does not exist yet
            parts.append(make(start, end))
            write(file, parts[-1])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def remove_batches(folder: Path) -> None:
    """Remove the batches of a complete shard."""
    shutil.rmtree(folder / "batches", ignore_errors=True)
