"""Images in a NumPy .npz file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.data import cache
from mousterian.data.content import content_stamp, unchanged
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError

# Names of an array in the file, by split: MedMNIST's and Keras's.
IMAGES = {"train": ("train_images", "x_train"), "test": ("test_images", "x_test")}
LABELS = {"train": ("train_labels", "y_train"), "test": ("test_labels", "y_test")}


def load(split: str, data_dir: Path, *, path: str) -> ImageSet:
    """A NumPy .npz file of your own, with train_images, train_labels, test_images and test_labels.

    A file that is only evaluated on needs no training images and labels.
    Images are uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3), labels integers (N,) or (N, 1) from 0. The names
    x_train, y_train, x_test and y_test are also accepted, and an array `class_names` (K,) of strings is
    optional. Pickled objects are never loaded.

    Args:
        split: "train" or "test".
        data_dir: the data directory.
        path: the file, relative to the data directory or else to the working directory.

    Raises:
        InputError: the file is missing or damaged, or an array is missing or of the wrong kind.
    """
    cache.check_split(split)
    file = cache.resolve(path, data_dir)
    optional = (*(LABELS[each] for each in cache.SPLITS if each != split), ("class_names",))
    with unchanged(file):
        arrays = _read(file, [IMAGES[split], LABELS[split]], optional=optional)
    images, labels = arrays[IMAGES[split][0]], arrays[LABELS[split][0]]
    if images.dtype != np.uint8:
        hint = "store them as integers from 0 to 255: (255 * images).round().astype('uint8')"
        raise InputError(f"the {split} images are {images.dtype}, not uint8", where=str(file), hint=hint)
    labelled = [each for each in cache.SPLITS if LABELS[each][0] in arrays]
    found = [_flat(arrays[LABELS[each][0]], each, file) for each in labelled]
    count = 1 + max((int(each.max()) for each in found if each.size), default=-1)
    names = arrays.get("class_names", np.arange(count))
    try:
        return ImageSet(
            images[:, :, :, None] if images.ndim == 3 else images,
            _flat(labels, split, file),
            tuple(str(name) for name in names),
        )
    except InputError as error:
        raise InputError(error.what, where=f"{file}, {split}") from None


def stamp(data_dir: Path, *, path: str) -> str:
    """Return a fingerprint of the file's content; arguments as for `load`."""
    return content_stamp(cache.resolve(path, data_dir), data_dir)


def origin(data_dir: Path, *, path: str) -> cache.Origin:
    """Return the file; arguments as for `load`."""
    return cache.Origin("an .npz file", cache.resolve(path, data_dir))


def _flat(labels: NDArray[Any], split: str, file: Path) -> NDArray[np.int64]:
    """Return labels (N,) or (N, 1) of any integer type as (N,) int64."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"the {split} labels are {labels.dtype} {labels.shape}, not integers (N,)", where=str(file)
        )
    return labels.astype(np.int64)


def _read(
    path: Path, wanted: Sequence[tuple[str, ...]], *, optional: Sequence[tuple[str, ...]]
) -> Mapping[str, NDArray[Any]]:
    """Return arrays, each by the first of its possible names."""
    try:
        with cache.open_npz(path) as file:
            found = {}
            for names in [*wanted, *(names for names in optional if set(names) & set(file.files))]:
                present = next((name for name in names if name in file.files), None)
                if present is None:
                    raise InputError(
                        f"it has no array {' or '.join(names)}; it has {', '.join(file.files) or 'none'}",
                        where=str(path),
                    )
                found[names[0]] = file[present]
            return found
    except FileNotFoundError:
        hint = "`path` is relative to the data directory or else to the working directory"
        raise InputError("there is no such file", where=str(path), hint=hint) from None
    except cache.DAMAGE as error:
        raise InputError(f"not a readable .npz file ({error})", where=str(path)) from error
