"""The data directory, and its cache of decoded image sets, from which the next load takes a moment.

A cached set is an uncompressed `.npz` with the arrays `images`, `labels`, `class_names` and `source`
(in words). It is written atomically, by one process at a time, and the zip checksums are verified on every
read.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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
    arrays = _read(path, "images", "labels", "class_names")
    names = tuple(str(name) for name in arrays["class_names"])
    return ImageSet(arrays["images"], arrays["labels"], names)


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
            yield arrays


def arrays_of_splits(arrays: Sequence[str], *splits: str) -> tuple[str, ...]:
    """Return which of an .npz file's arrays are named after one of the splits, e.g. "val_images"."""
    return tuple(name for name in arrays if set(splits) & set(name.lower().split("_")))


def _read(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    try:
        with open_npz(path) as arrays:
            return {name: arrays[name] for name in names}
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
    np.savez(
        buffer,
        images=images.images,
        labels=images.labels,
        class_names=np.array(images.class_names),
        source=np.array(source),
    )
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
