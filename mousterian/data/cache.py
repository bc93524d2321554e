"""The data directory, and its cache of decoded image sets, from which the next load takes a moment.

A cached set is an uncompressed `.npz` with the arrays `images`, `labels`, `class_names`, `source` (in words)
and, where decoding left something out or converted it, `notes`. It is written atomically, by one process at a
time, and the zip checksums are verified on every read.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError, unknown_name
from mousterian.files import file_lock, write_atomically

SPLITS = ("train", "test")
VALIDATION = ("val", "valid", "validation")
# What reading a damaged .npz raises, by where the damage is; RuntimeError where it is encrypted, MemoryError
# where an array claims to be larger than any.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    KeyError,
    EOFError,
    OSError,
    RuntimeError,
    MemoryError,
    OverflowError,
    SyntaxError,
)
# An .npz that would be read as more than `_LARGE` bytes, and more than `_TIMES` its size, is taken for a zip
# bomb: pixels of one value are compressed a thousand times, photographs hardly at all.
_LARGE, _TIMES = 1 << 28, 100
_log = logging.getLogger(__name__)


class Checksums(NamedTuple):
    """sha256 checksums of a split's decoded arrays, hexadecimal.

    Attributes:
        images: of the (N, H, W, C) uint8 images.
        labels: of the (N,) labels as uint8.
    """

    images: str
    labels: str


class Origin(NamedTuple):
    """The source of a dataset, in words, and its path."""

    source: str
    path: Path


@dataclass(frozen=True)
class Decoded:
    """Decoded image sets by the stem of their cache file, and their source in words."""

    sets: Mapping[str, ImageSet]
    source: str


def data_directory(given: Path | None) -> Path:
    """Return the folder of the datasets: `given`, else MOUSTERIAN_DATA, else the user's cache."""
    if given is not None:
        return given.expanduser()
    if variable := os.environ.get("MOUSTERIAN_DATA"):
        return Path(variable).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "mousterian" / "data"


def check_split(split: str) -> None:
    """Refuse a split that is neither "train" nor "test"."""
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)


def resolve(path: str, data_dir: Path) -> Path:
    """Return a user's path: in the data directory if it exists there, else in the working directory."""
    given = Path(path).expanduser()
    inside = data_dir / given
    return inside if inside.exists() else given


def checksums(images: ImageSet) -> Checksums:
    """Return the checksums of an image set; labels of more than 256 classes are hashed as int64."""
    labels = images.labels.astype(np.uint8 if len(images.class_names) <= 256 else np.int64)
    return Checksums(_sha256(images.images), _sha256(labels))


def load_or_make(path: Path, make: Callable[[], Decoded]) -> ImageSet:
    """Return the image set cached at `path`; if there is none, make it and cache every set made with it.

    A damaged file is reported in a warning and made again. Of two processes that need the same set at
    once, the second waits for the first; on a file system without locks, both make it.

    Raises:
        InputError: the set cannot be made, or the folder cannot be written.
    """
    try:
        return read(path)
    except (FileNotFoundError, InputError):
        pass  # Another process may be making it: read again under the lock before deciding.
    with _locked(path.parent):
        damage = None
        try:
            return read(path)
        except FileNotFoundError:
            pass
        except InputError as error:
            damage = error
            _log.warning("%s: %s; making it again", path, error.what)
        try:
            made = make()
        except InputError as error:
            if damage is None:
                raise
            what = f"{damage.what}, and could not be made again: {error.what}"
            raise InputError(what, where=str(path), hint=error.hint) from error
        for stem, images in made.sets.items():
            _write(path.with_name(f"{stem}.npz"), images, made.source)
        return made.sets[path.stem]


def read(path: Path) -> ImageSet:
    """Return the image set cached at `path`.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the file is damaged.
    """
    arrays = _read(path, "images", "labels", "class_names", optional=("notes",))
    names, notes = (tuple(str(each) for each in arrays.get(part, ())) for part in ("class_names", "notes"))
    return ImageSet(arrays["images"], arrays["labels"], names, notes=notes)


def origin(path: Path) -> Origin:
    """Return the source of the set cached at `path`, and `path`."""
    return Origin(str(_read(path, "source")["source"]), path)


@contextmanager
def open_npz(path: Path) -> Iterator[NpzFile]:
    """Open an .npz file; pickled objects in it are never loaded.

    Raises:
        FileNotFoundError: there is none.
        One of `DAMAGE`: it is not an .npz file; reading an array from it may raise these too.
    """
    # Opened here because NumPy leaves a damaged file open.
    with path.open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, NpzFile):
            raise ValueError("it is a single array")
        with arrays:
            if arrays.zip is not None:  # it is None once closed
                _check_sizes(arrays.zip, path.stat().st_size)
            yield arrays


def _check_sizes(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError for arrays that would fill far more memory than a file of this size (bytes) can hold.

    All sizes are declared ones: no more than these is ever read.
    """
    members = archive.infolist()
    whole = sum(member.file_size for member in members)
    sizes = [(member.filename, member.file_size, min(member.compress_size, size)) for member in members]
    for name, unpacked, packed in (*sizes, ("the file", whole, size)):
        if unpacked > _LARGE and unpacked > _TIMES * packed:
            grows = f"grow from {packed / 2**20:,.1f} to {unpacked / 2**20:,.0f} MiB"
            raise ValueError(
                f"{name} would {grows}: it may be a zip bomb; if it is none, save it uncompressed"
            )
    for member in members:
        with archive.open(member) as raw:
            _check_header(raw, member)


def _check_header(raw: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Raise ValueError for an array that says it is of another size than it has in the file."""
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if not member.filename.endswith(".npy") or (read := readers.get(npy.read_magic(raw))) is None:
        return
    shape, _, dtype = read(raw)
    declared = math.prod(shape) * max(1, dtype.itemsize)  # of strings of no letters, too
    if not dtype.hasobject and declared != member.file_size - raw.tell():
        found = f"{member.file_size - raw.tell():,}"
        raise ValueError(f"{member.filename} says that it has {declared:,} bytes, and has {found}")


def arrays_of_splits(arrays: Sequence[str], *splits: str) -> tuple[str, ...]:
    """Return which of an .npz file's arrays are named after one of the splits, e.g. "val_images"."""
    return tuple(name for name in arrays if set(splits) & set(name.lower().split("_")))


def _read(path: Path, *names: str, optional: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    try:
        with open_npz(path) as arrays:
            there = [name for name in optional if name in arrays.files]
            return {name: arrays[name] for name in (*names, *there)}
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        raise InputError(
            f"the cached dataset is damaged ({error})",
            where=str(path),
            hint="delete the file to have it made again",
        ) from error


def _write(path: Path, images: ImageSet, source: str) -> None:
    buffer = io.BytesIO()
    texts = {"class_names": images.class_names, "source": source, "notes": images.notes}
    arrays = {name: np.array(text) for name, text in texts.items() if name != "notes" or text}
    np.savez(buffer, allow_pickle=False, images=images.images, labels=images.labels, **arrays)
    write_atomically(path, buffer.getvalue())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock while the block runs."""
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(file_lock(folder / ".lock"))
        except (OSError, InputError) as error:
            raise InputError(
                f"cannot write the data directory ({error.__cause__ or error})",
                where=str(folder),
                hint="choose another with --data-dir or MOUSTERIAN_DATA",
            ) from error
        yield


def _sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
