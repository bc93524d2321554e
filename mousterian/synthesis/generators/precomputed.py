"""A pool that someone else made: folders of images, an .npz file, or parquet."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.data.decoding import SUFFIXES, decode
from mousterian.errors import InputError, first_of, nearest
from mousterian.seeds import file_stamp
from mousterian.synthesis.kinds import GeneratorContext

IMAGE_KEYS, LABEL_KEYS = ("images", "image", "x", "data"), ("labels", "label", "y", "targets")


@dataclass
class _Sampler:
    """Gives out each class's images in the order of the source."""

    sources: Any
    by_class: Sequence[NDArray[np.int64]]
    context: GeneratorContext
    where: str

    @property
    def limit(self) -> int:
        """Images that can be given out with the classes taking turns, until the first class runs out."""
        classes = len(self.by_class)
        return min(len(members) * classes + label for label, members in enumerate(self.by_class))

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        rows = [self.by_class[label][index] for label, index in zip(labels, indices, strict=True)]
        return np.stack([self._picture(self.sources[row]) for row in rows])

    def _picture(self, source: Any) -> NDArray[np.uint8]:
        height, width, channels = self.context.shape
        decoded = isinstance(source, np.ndarray)
        pixels = source if decoded else _open(source, min(height, width), self.where)
        pixels = pixels.reshape((*pixels.shape[:2], -1))
        if pixels.shape[2] == 1 and channels == 3:
            pixels = np.repeat(pixels, 3, axis=2)
        if pixels.shape != self.context.shape:
            raise InputError(
                f"its images are {pixels.shape}, the dataset's {self.context.shape}", where=self.where
            )
        return pixels


def load(context: GeneratorContext, *, path: str, synthetic_folder: str = "") -> _Sampler:
    """Use a pool that someone else made, in the order in which its images lie.

    Args:
        context: classes and image shape; pictures are resized and cropped to the shape, arrays must have it.
        path: a folder with one folder a class; an .npz with `images` (N, H, W, C) uint8 and `labels` (N,), as
            the EDM authors' files; or a parquet file with columns `image` (encoded bytes) and `label`.
        synthetic_folder: folder inside `path` that holds the class folders, e.g. "train/FAKE".
    """
    where = Path(path).expanduser() / synthetic_folder
    if not where.exists():
        raise InputError("there is no such pool", where=str(where), hint="mend the generator's option `path`")
    sources: Any
    if where.is_dir():
        sources, labels = _from_folder(where, context.class_names)
    elif where.suffix == ".npz":
        sources, labels = _from_npz(where)
    elif where.suffix == ".parquet":
        sources, labels = _from_parquet(where, context.class_names)
    else:
        raise InputError("a pool is a folder, an .npz or a .parquet file", where=str(where))
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(context.class_names)):
        raise InputError(
            f"labels run from {labels.min()} to {labels.max()} for {len(context.class_names)} classes",
            where=str(where),
        )
    by_class = [np.flatnonzero(labels == label) for label in range(len(context.class_names))]
    without = [name for name, rows in zip(context.class_names, by_class, strict=True) if not len(rows)]
    if without:
        raise InputError(
            f"there is no image of {first_of(without)}",
            where=str(where),
            hint="a pool has images of every class: add them, or use a dataset of the classes that are there",
        )
    return _Sampler(sources, by_class, context, str(where))


def stamp(data_dir: Path, *, path: str, synthetic_folder: str = "") -> str:
    """Return what tells the content of the pool's file or folder; arguments as for `load`."""
    return file_stamp(Path(path).expanduser() / synthetic_folder)


def _open(source: Path | bytes, side: int, where: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            return decode(picture, side)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        place = where if isinstance(source, bytes) else str(source)
        raise InputError(f"an image of the pool cannot be read ({error})", where=place) from None


def _from_folder(folder: Path, class_names: Sequence[str]) -> tuple[list[Path], NDArray[np.int64]]:
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    known = {_plain(name): label for label, name in enumerate(class_names)}
    files: list[Path] = []
    labels: list[int] = []
    for name in found:
        label = known.get(_plain(name), int(name) if name.isdecimal() else None)
        if label is None:
            raise InputError(
                f"folder {name!r} is none of the classes; the nearest is {nearest(name, class_names)!r}",
                where=str(folder),
                hint=f"name the folders by class ({', '.join(class_names[:10])}) or by label (0, 1, ...)",
            )
        mine = sorted(each for each in (folder / name).rglob("*") if each.suffix.lower() in SUFFIXES)
        files += mine
        labels += [label] * len(mine)
    return files, np.array(labels, dtype=np.int64)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _from_npz(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            images = file[_key(IMAGE_KEYS, file.files, path)]
            labels = file[_key(LABEL_KEYS, file.files, path)]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"not a readable .npz ({error})", where=str(path)) from None
    if images.dtype != np.uint8 or len(images) != len(labels):
        raise InputError(
            f"needs uint8 images with as many labels, not {images.dtype} {images.shape} and {labels.shape}",
            where=str(path),
        )
    return images, labels.reshape(-1).astype(np.int64)


def _key(wanted: Sequence[str], there: Sequence[str], path: Path) -> str:
    for name in wanted:
        if name in there:
            return name
    raise InputError(f"has no {' or '.join(wanted)}; it has {', '.join(there)}", where=str(path))


def _from_parquet(path: Path, class_names: Sequence[str]) -> tuple[list[bytes], NDArray[np.int64]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not a readable parquet file ({error})", where=str(path)) from None
    cells = table[_key(IMAGE_KEYS, table.column_names, path)].to_pylist()
    labels = table[_key(LABEL_KEYS, table.column_names, path)].to_pylist()
    # Hugging Face keeps an image as a struct of its bytes and its file's name.
    images = [cell["bytes"] if isinstance(cell, dict) else cell for cell in cells]
    known = {_plain(name): label for label, name in enumerate(class_names)}
    numbers = [known.get(_plain(label), -1) if isinstance(label, str) else label for label in labels]
    return images, np.array(numbers, dtype=np.int64)
