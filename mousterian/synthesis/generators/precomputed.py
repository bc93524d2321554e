"""A pool generated elsewhere: folders of images, an .npz file, or parquet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.data.cache import DAMAGE, VALIDATION, arrays_of_splits, open_npz
from mousterian.data.class_folders import class_folders, images_by_folder, left_out, left_out_note
from mousterian.data.content import content_stamp
from mousterian.data.decoding import read_image
from mousterian.data.labels import classes_by_name, decoded_text
from mousterian.data.listing import Listing, check_same, listing, unchanged
from mousterian.data.own_names import checked_names, hugging_face_names, labels_by_name
from mousterian.errors import InputError, first_of
from mousterian.synthesis.generators._captioned_images import encoded_image
from mousterian.synthesis.generators._class_rows import images_in_turn, rows_by_class
from mousterian.synthesis.kinds import GeneratorContext

# Images as a viewer shows them; labels by the names that the file itself gives.
REVISION = 2
IMAGE_KEYS, LABEL_KEYS = ("images", "image", "x", "data"), ("labels", "label", "y", "targets")
ADDED_OPTIONS = ("class_names", "skip_unreadable")
_LISTED = 100  # unreadable images that a note lists
_HINT = "repair or delete it, or leave such images out: skip_unreadable = true"


@dataclass
class _Source:
    """What a file or folder holds.

    Attributes:
        images: arrays (H, W) or (H, W, C), files, encoded images, or why there is none.
        labels: (N,) int64 classes.
        found: the listing that the files are of; None where `images` are in memory.
        notes: what is left out.
    """

    images: Sequence[NDArray[np.uint8] | Path | bytes | InputError] | NDArray[np.uint8]
    labels: NDArray[np.int64]
    found: Listing | None = None
    notes: list[str] = field(default_factory=list)

    def read(self, row: int, side: int, where: str) -> NDArray[np.uint8]:
        """Return an image as an array, a file's resized so that its shorter side is `side`."""
        image = self.images[row]
        if isinstance(image, InputError):
            raise image
        if isinstance(image, np.ndarray):
            return image
        return read_image(image, side, where=f"{where}, row {row}" if isinstance(image, bytes) else "")


@dataclass
class _Sampler:
    """Returns each class's images in the order of the source."""

    source: _Source
    by_class: Sequence[NDArray[np.int64]]
    context: GeneratorContext
    where: str

    @property
    def limit(self) -> int:
        """Images that are available with the classes in turn, until a class runs out."""
        return images_in_turn(self.by_class)

    @property
    def notes(self) -> Sequence[str]:
        """What is left out, and what the images returned so far were converted to, as sentences."""
        return [f"{self.where}: {note}" for note in self.source.notes]

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        rows = [self.by_class[label][index] for label, index in zip(labels, indices, strict=True)]
        return np.stack([self._image(row) for row in rows])

    def _image(self, row: int) -> NDArray[np.uint8]:
        height, width, channels = self.context.shape
        try:
            pixels = self.source.read(row, min(height, width), self.where)
        except InputError as error:
            raise InputError(error.what, where=error.where, hint=_HINT) from None
        finally:
            file = self.source.images[row]
            if self.source.found is not None and isinstance(file, Path):
                self.source.found.check_unchanged(file)
        pixels = pixels.reshape((*pixels.shape[:2], -1))
        if {pixels.shape[2], channels} == {1, 3}:
            self._note_conversion(channels)
            pixels = _with_channels(pixels, channels)
        if pixels.shape != self.context.shape:
            raise InputError(
                f"its images are {pixels.shape}, the dataset's {self.context.shape}",
                where=self.where,
                hint="arrays must have the dataset's height and width and 1 or 3 channels; files are resized",
            )
        return pixels

    def _note_conversion(self, channels: int) -> None:
        grey = "the images have colour and the dataset is grey: they are made grey (luma)"
        colour = "the images are grey and the dataset has colour: they get three equal channels"
        note = grey if channels == 1 else colour
        if note not in self.source.notes:
            self.source.notes.append(note)


def _with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return an image (H, W, 1 or 3) with 3 or 1 channels, by the rule of `data.resizing`."""
    from mousterian.data.resizing import LUMA

    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    grey: NDArray[np.uint8] = np.rint(pixels @ np.array(LUMA))[:, :, None].astype(np.uint8)
    return grey


def load(
    context: GeneratorContext,
    *,
    path: str,
    synthetic_folder: str = "",
    class_names: tuple[str, ...] = (),
    skip_unreadable: bool = False,
) -> _Sampler:
    """Use a pool generated elsewhere, in the order of its images.

    Args:
        context: classes and image shape; files are resized and cropped to the shape, arrays must have its
            height and width; colour and grey are converted to the dataset's.
        path: a folder with one folder per class; an .npz with `images` (N, H, W, C) uint8 and `labels`, as
            the EDM authors' files; or a parquet file with columns `image` (encoded bytes) and `label`. Labels
            are whole numbers (N,) or (N, 1), one-hot (N, K), or names. Numbers follow the file's own names
            (an array `class_names`; Hugging Face's ClassLabel), else the dataset's classes from 0.
        synthetic_folder: subfolder of `path` with the class folders, e.g. "train/FAKE".
        class_names: names of the classes, for a pool that gives none; label 0 is the first name.
        skip_unreadable: leave out images that cannot be read, and list them in a note. All images are read
            before the first is used, each time that the pool is made or extended.
    """
    where = Path(path).expanduser() / synthetic_folder
    if not where.exists():
        raise InputError("no such pool", where=str(where), hint="correct the option `path`")
    if where.is_dir():
        source = _from_folder(where, context.class_names, class_names)
    elif where.is_file() and where.suffix in _READERS:  # a FIFO of this name would never end
        with unchanged(where):
            source = _READERS[where.suffix](where, context.class_names, class_names)
    else:
        raise InputError("a pool must be a folder, an .npz or a .parquet file", where=str(where))
    if skip_unreadable:
        _leave_out_unreadable(source, min(context.shape[:2]), where)
    elif error := next((image for image in source.images if isinstance(image, InputError)), None):
        raise error
    by_class = rows_by_class(source.labels, len(context.class_names))
    missing = [name for name, rows in zip(context.class_names, by_class, strict=True) if not len(rows)]
    if missing:
        raise InputError(
            f"no images of {first_of(missing)}",
            where=str(where),
            hint="a pool needs images of every class: add them, or use a dataset with the pool's classes",
        )
    return _Sampler(source, by_class, context, str(where))


def _leave_out_unreadable(source: _Source, side: int, where: Path) -> None:
    """Give images that cannot be read the label -1, which no class has, and note them.

    Image i of a class is the i-th of those that can be read, whatever is sampled first: so all are read now.
    """
    unreadable = []
    for row, image in enumerate(source.images):
        try:
            source.read(row, side, str(where))
        except InputError as error:
            place = str(image.relative_to(where)) if isinstance(image, Path) else f"row {row}"
            unreadable.append(f"{place} ({error.what})")
            source.labels[row] = -1
    if source.found is not None:
        check_same(source.found, listing(where))
    if unreadable:
        note = left_out_note(unreadable, "unreadable image", "unreadable images", _LISTED)
        source.notes.append(note)


def stamp(data_dir: Path, *, path: str, synthetic_folder: str = "") -> str:
    """Return a digest of the pool's file or folder; arguments as for `load`."""
    place = Path(path).expanduser() / synthetic_folder
    return content_stamp(place, data_dir)


def _from_folder(folder: Path, class_names: Sequence[str], given: Sequence[str]) -> _Source:
    names, found = class_folders(folder), listing(folder)
    hint = (
        "name each folder by its class, or give the folder that has the class folders as `synthetic_folder`"
    )
    spelt = names
    if given := checked_names(None, given, where=str(folder)) or ():
        spelt = [given[label] for label in classes_by_name(names, given, where=str(folder), what="folder")]
    classes = classes_by_name(spelt, class_names, where=str(folder), what="folder", hint=hint)
    by_class = list(zip(images_by_folder(found, folder, names).values(), classes, strict=True))
    labels = [label for files, label in by_class for _ in files]
    images = [file for files, _ in by_class for file in files]
    return _Source(images, np.array(labels, dtype=np.int64), found, [*left_out(found, names)])


def _from_npz(path: Path, class_names: Sequence[str], given: Sequence[str]) -> _Source:
    try:
        with open_npz(path) as file:
            unused = ", ".join(arrays_of_splits(file.files, *VALIDATION, "test"))
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
    classes = labels_by_name(labels, class_names, own, given, where=str(path))
    return _Source(images, classes, notes=[f"other splits ({unused}) are not used"] if unused else [])


def _key(wanted: Sequence[str], names: Sequence[str], path: Path) -> str:
    for name in wanted:
        if name in names:
            return name
    raise InputError(f"has no {' or '.join(wanted)}; it has {', '.join(names)}", where=str(path))


def _from_parquet(path: Path, class_names: Sequence[str], given: Sequence[str]) -> _Source:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"not a readable parquet file ({error})", where=str(path)) from None
    image, label = (_key(keys, table.column_names, path) for keys in (IMAGE_KEYS, LABEL_KEYS))
    own = hugging_face_names(table.schema.metadata, label, where=str(path))
    table, notes = _without_other_splits(table)
    where = f"{path}, split train" if notes else str(path)
    images = [_embedded(cell, row, where) for row, cell in enumerate(table[image].to_pylist())]
    labels = table[label].to_pylist()
    return _Source(images, labels_by_name(labels, class_names, own, given, where=where), notes=notes)


_READERS: dict[str, Callable[[Path, Sequence[str], Sequence[str]], _Source]] = {
    ".npz": _from_npz,
    ".parquet": _from_parquet,
}


def _without_other_splits(table: Any) -> tuple[Any, list[str]]:
    """Return the rows whose column `split` says "train", if some do; and a note on those left out."""
    splits = table["split"].to_pylist() if "split" in table.column_names else []
    others = Counter(str(each) for each in splits if each != "train")
    if "train" not in splits or not others:
        return table, []
    counted = [f"{name} ({count:,} row{'' if count == 1 else 's'})" for name, count in sorted(others.items())]
    note = f"other splits are not used: {', '.join(counted)}"
    return table.filter([each == "train" for each in splits]), [note]


def _embedded(cell: Any, row: int, where: str) -> bytes | InputError:
    """Return a cell's encoded image, or an error that names the row that has none."""
    if (raw := encoded_image(cell)) is not None:
        return raw
    there = cell.get("path") if isinstance(cell, dict) else cell
    found = f"has the path {there!r} alone" if isinstance(there, str) else "has no image"
    return InputError(
        f"images are not embedded: row {row} {found}",
        where=where,
        hint="write the files' bytes into the column (datasets: embed_external_files=True)",
    )
