"""A pool generated elsewhere: folders of images, an .npz file, or parquet."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.data.cache import DAMAGE, VALIDATION, arrays_of_splits, open_npz
from mousterian.data.class_folders import class_folders, images_by_folder
from mousterian.data.content import content_stamp
from mousterian.data.decoding import read_image
from mousterian.data.labels import class_labels, classes_by_name, decoded_text, hugging_face_names
from mousterian.errors import InputError, first_of
from mousterian.synthesis.generators._captioned_images import encoded_image
from mousterian.synthesis.generators._class_rows import images_in_turn, rows_by_class
from mousterian.synthesis.kinds import GeneratorContext

# Images as a viewer shows them; labels by the names that the file itself gives.
REVISION = 2
IMAGE_KEYS, LABEL_KEYS = ("images", "image", "x", "data"), ("labels", "label", "y", "targets")
_log = logging.getLogger(__name__)


@dataclass
class _Sampler:
    """Returns each class's images in the order of the source."""

    sources: Any
    by_class: Sequence[NDArray[np.int64]]
    context: GeneratorContext
    where: str
    warned: bool = False  # that the images' channels are converted

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
        pixels: NDArray[np.uint8] = source
        if not isinstance(source, np.ndarray):
            where = self.where if isinstance(source, bytes) else str(source)
            pixels = read_image(source, min(height, width), where=where)
        pixels = pixels.reshape((*pixels.shape[:2], -1))
        if {pixels.shape[2], channels} == {1, 3}:
            self._warn(channels)
            pixels = _with_channels(pixels, channels)
        if pixels.shape != self.context.shape:
            raise InputError(
                f"its images are {pixels.shape}, the dataset's {self.context.shape}",
                where=self.where,
                hint="arrays must have the dataset's height and width and 1 or 3 channels; files are resized",
            )
        return pixels

    def _warn(self, channels: int) -> None:
        if not self.warned:
            grey = "has colour images and the dataset is grey: they are made grey (luma)"
            colour = "has grey images and the dataset is coloured: they get three equal channels"
            _log.warning("%s: the pool %s", self.where, grey if channels == 1 else colour)
        self.warned = True


def _with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return an image (H, W, 1 or 3) with 3 or 1 channels, by the rule of `data.resizing`."""
    from mousterian.data.resizing import LUMA

    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    grey: NDArray[np.uint8] = np.rint(pixels @ np.array(LUMA))[:, :, None].astype(np.uint8)
    return grey


def load(context: GeneratorContext, *, path: str, synthetic_folder: str = "") -> _Sampler:
    """Use a pool generated elsewhere, in the order of its images.

    Args:
        context: classes and image shape; files are resized and cropped to the shape, arrays must have its
            height and width; colour and grey are converted to the dataset's.
        path: a folder with one folder per class; an .npz with `images` (N, H, W, C) uint8 and `labels`, as
            the EDM authors' files; or a parquet file with columns `image` (encoded bytes) and `label`. Labels
            are whole numbers (N,) or (N, 1), one-hot (N, K), or names. Numbers follow the file's own names
            (an array `class_names`; Hugging Face's ClassLabel), else the dataset's classes from 0.
        synthetic_folder: subfolder of `path` with the class folders, e.g. "train/FAKE".
    """
    where = Path(path).expanduser() / synthetic_folder
    if not where.exists():
        raise InputError("no such pool", where=str(where), hint="correct the option `path`")
    sources: Any
    if where.is_dir():
        sources, labels = _from_folder(where, context.class_names)
    elif where.is_file() and where.suffix == ".npz":  # a FIFO of this name would never end
        sources, labels = _from_npz(where, context.class_names)
    elif where.is_file() and where.suffix == ".parquet":
        sources, labels = _from_parquet(where, context.class_names)
    else:
        raise InputError("a pool must be a folder, an .npz or a .parquet file", where=str(where))
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
    return content_stamp(place, data_dir)


def _from_folder(folder: Path, class_names: Sequence[str]) -> tuple[list[Path], NDArray[np.int64]]:
    names = class_folders(folder)
    hint = (
        "name each folder by its class, or give the folder that has the class folders as `synthetic_folder`"
    )
    classes = classes_by_name(names, class_names, where=str(folder), what="folder", hint=hint)
    by_class = list(zip(images_by_folder(folder, names).values(), classes, strict=True))
    labels = [label for files, label in by_class for _ in files]
    return [file for files, _ in by_class for file in files], np.array(labels, dtype=np.int64)


def _from_npz(path: Path, class_names: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        with open_npz(path) as file:
            if unused := arrays_of_splits(file.files, *VALIDATION, "test"):
                _log.warning("%s: other splits (%s) are not used", path, ", ".join(unused))
            images = file[_key(IMAGE_KEYS, file.files, path)]
            labels = file[_key(LABEL_KEYS, file.files, path)]
            named = file["class_names"] if "class_names" in file.files else None
    except DAMAGE as error:
        hint = "save it anew with numpy.savez, as plain arrays: no objects, no password"
        raise InputError(f"not a readable .npz ({error})", where=str(path), hint=hint) from None
    if images.dtype != np.uint8 or images.ndim not in {3, 4} or images.shape[:1] != labels.shape[:1]:
        raise InputError(
            f"expected uint8 images and as many labels, not {images.dtype} {images.shape} and {labels.shape}",
            where=str(path),
            hint="images are (N, H, W) or (N, H, W, C), from 0 to 255; labels (N,), (N, 1) or one-hot (N, K)",
        )
    own = (
        None if named is None else [str(each) for each in decoded_text(named, "class names", str(path)).flat]
    )
    return images, class_labels(labels, class_names, where=str(path), own_names=own)


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
    image, label = (_key(keys, table.column_names, path) for keys in (IMAGE_KEYS, LABEL_KEYS))
    own = hugging_face_names(table.schema.metadata, label, where=str(path))
    table = _without_other_splits(table, path)
    images = [_embedded(cell, row, path) for row, cell in enumerate(table[image].to_pylist())]
    labels = table[label].to_pylist()
    return images, class_labels(labels, class_names, where=str(path), own_names=own)


def _without_other_splits(table: Any, path: Path) -> Any:
    """Return the rows whose column `split` says "train", if some do; say which are left out."""
    splits = table["split"].to_pylist() if "split" in table.column_names else []
    others = sorted({str(each) for each in splits} - {"train"})
    if "train" not in splits or not others:
        return table
    _log.warning("%s: the rows of its splits %s are not used, only train's", path, ", ".join(others))
    return table.filter([each == "train" for each in splits])


def _embedded(cell: Any, row: int, path: Path) -> bytes:
    """Return a cell's encoded image; InputError names the row that has none."""
    if (raw := encoded_image(cell)) is not None:
        return raw
    there = cell.get("path") if isinstance(cell, dict) else cell
    found = f"has the path {there!r} alone" if isinstance(there, str) else "has no image"
    raise InputError(
        f"images are not embedded: row {row} {found}",
        where=str(path),
        hint="write the files' bytes into the column (datasets: embed_external_files=True)",
    )
