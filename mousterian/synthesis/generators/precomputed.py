"""A pool generated elsewhere: folders of images, an .npz file, or parquet."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.data.cache import DAMAGE
from mousterian.data.content import content_stamp
from mousterian.data.decoding import REVISION, SUFFIXES, decode
from mousterian.errors import InputError, first_of, nearest
from mousterian.seeds import digest
from mousterian.synthesis.generators._captioned_images import encoded_image
from mousterian.synthesis.generators._class_rows import images_in_turn, rows_by_class
from mousterian.synthesis.kinds import GeneratorContext

IMAGE_KEYS, LABEL_KEYS = ("images", "image", "x", "data"), ("labels", "label", "y", "targets")


@dataclass
class _Sampler:
    """Returns each class's images in the order of the source."""

    sources: Any
    by_class: Sequence[NDArray[np.int64]]
    context: GeneratorContext
    where: str

    @property
    def limit(self) -> int:
        """Images that are available with the classes in turn, until a class runs out."""
        return images_in_turn(self.by_class)

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        rows = [self.by_class[label][index] for label, index in zip(labels, indices, strict=True)]
        return np.stack([self._image(self.sources[row]) for row in rows])

    def _image(self, source: Any) -> NDArray[np.uint8]:
        height, width, channels = self.context.shape
        array = isinstance(source, np.ndarray)
        pixels = source if array else _decode(source, min(height, width), self.where)
        pixels = pixels.reshape((*pixels.shape[:2], -1))
        if pixels.shape[2] == 1 and channels == 3:
            pixels = np.repeat(pixels, 3, axis=2)
        if pixels.shape != self.context.shape:
            raise InputError(
                f"its images are {pixels.shape}, the dataset's {self.context.shape}", where=self.where
            )
        return pixels


def load(context: GeneratorContext, *, path: str, synthetic_folder: str = "") -> _Sampler:
    """Use a pool generated elsewhere, in the order of its images.

    Args:
        context: classes and image shape; files are resized and cropped to the shape, arrays must have it.
        path: a folder with one folder per class; an .npz with `images` (N, H, W, C) uint8 and `labels` (N,),
            as the EDM authors' files; or a parquet file with columns `image` (encoded bytes) and `label`.
        synthetic_folder: subfolder of `path` with the class folders, e.g. "train/FAKE".
    """
    where = Path(path).expanduser() / synthetic_folder
    if not where.exists():
        raise InputError("no such pool", where=str(where), hint="correct the option `path`")
    sources: Any
    if where.is_dir():
        sources, labels = _from_folder(where, context.class_names)
    elif where.suffix == ".npz":
        sources, labels = _from_npz(where)
    elif where.suffix == ".parquet":
        sources, labels = _from_parquet(where, context.class_names)
    else:
        raise InputError("a pool must be a folder, an .npz or a .parquet file", where=str(where))
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(context.class_names)):
        raise InputError(
            f"labels range from {labels.min()} to {labels.max()} for {len(context.class_names)} classes",
            where=str(where),
        )
    by_class = rows_by_class(labels, len(context.class_names))
    missing = [name for name, rows in zip(context.class_names, by_class, strict=True) if not len(rows)]
    if missing:
        raise InputError(
            f"no images of {first_of(missing)}",
            where=str(where),
            hint="a pool needs images of every class: add them, or use a dataset with the pool's classes",
        )
    return _Sampler(sources, by_class, context, str(where))


def stamp(data_dir: Path, *, path: str, synthetic_folder: str = "") -> str:
    """Return a digest of the pool's file or folder; arguments as for `load`."""
    place = Path(path).expanduser() / synthetic_folder
    content = content_stamp(place, data_dir)
    pictures = content and (place.is_dir() or place.suffix != ".npz")  # arrays are not decoded
    return digest([REVISION, content]) if pictures else content


def _decode(source: Path | bytes, side: int, where: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            return decode(picture, side)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        file = where if isinstance(source, bytes) else str(source)
        raise InputError(f"an image of the pool cannot be read ({error})", where=file) from None


def _from_folder(folder: Path, class_names: Sequence[str]) -> tuple[list[Path], NDArray[np.int64]]:
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    known = {_normalised(name): label for label, name in enumerate(class_names)}
    files: list[Path] = []
    labels: list[int] = []
    for name in names:
        label = known.get(_normalised(name), int(name) if name.isdecimal() else None)
        if label is None:
            raise InputError(
                f"folder {name!r} is not a class; the nearest is {nearest(name, class_names)!r}",
                where=str(folder),
                hint=f"name the folders by class ({', '.join(class_names[:10])}) or by label (0, 1, ...)",
            )
        images = sorted(each for each in (folder / name).rglob("*") if each.suffix.lower() in SUFFIXES)
        files += images
        labels += [label] * len(images)
    return files, np.array(labels, dtype=np.int64)


def _normalised(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _from_npz(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            images = file[_key(IMAGE_KEYS, file.files, path)]
            labels = file[_key(LABEL_KEYS, file.files, path)]
    except DAMAGE as error:
        raise InputError(f"not a readable .npz ({error})", where=str(path)) from None
    if images.dtype != np.uint8 or len(images) != len(labels):
        raise InputError(
            f"expected uint8 images and as many labels, not {images.dtype} {images.shape} and {labels.shape}",
            where=str(path),
        )
    return images, labels.reshape(-1).astype(np.int64)


def _key(wanted: Sequence[str], names: Sequence[str], path: Path) -> str:
    for name in wanted:
        if name in names:
            return name
    raise InputError(f"has no {' or '.join(wanted)}; it has {', '.join(names)}", where=str(path))


def _from_parquet(path: Path, class_names: Sequence[str]) -> tuple[list[bytes], NDArray[np.int64]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not a readable parquet file ({error})", where=str(path)) from None
    cells = table[_key(IMAGE_KEYS, table.column_names, path)].to_pylist()
    labels = table[_key(LABEL_KEYS, table.column_names, path)].to_pylist()
    images = [encoded_image(cell) for cell in cells]
    known = {_normalised(name): label for label, name in enumerate(class_names)}
    numbers = [known.get(_normalised(label), -1) if isinstance(label, str) else label for label in labels]
    return images, np.array(numbers, dtype=np.int64)
