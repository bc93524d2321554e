"""Images in a NumPy .npz file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.data import cache
from mousterian.data.content import content_stamp
from mousterian.data.image_set import ImageSet
from mousterian.data.labels import LISTED, class_labels, decoded_text
from mousterian.data.listing import unchanged
from mousterian.data.own_names import checked_names
from mousterian.errors import InputError, first_of

REVISION = 2  # labels as one-hot rows and text; class names stored as bytes are decoded
# Names of an array in the file, by split: MedMNIST's and Keras's.
IMAGES = {"train": ("train_images", "x_train"), "test": ("test_images", "x_test")}
LABELS = {"train": ("train_labels", "y_train"), "test": ("test_labels", "y_test")}
GROUPS = {"train": ("train_groups",), "test": ("test_groups",)}
MOST_CLASSES = 1_000_000  # a larger label is an identifier or damage
ADDED_OPTIONS = ("class_names",)


def load(split: str, data_dir: Path, *, path: str, class_names: tuple[str, ...] = ()) -> ImageSet:
    """A NumPy .npz file of your own, with train_images, train_labels, test_images and test_labels.

    A file that is only evaluated on needs no training images and labels.
    Images are uint8 (N, H, W), (N, H, W, 1) or (N, H, W, 3). Labels are whole numbers (N,) or (N, 1) from 0,
    one-hot rows (N, K), or the names of the classes as text. The names x_train, y_train, x_test and y_test
    are also accepted, and an array `class_names` (K,) of strings is optional. So is `test_groups` (N,),
    numbers or text: images of one group, such as a patient, are not independent, and intervals allow for it.
    A validation split is never used, and is named in a note. Pickled objects are never loaded.

    Args:
        split: "train" or "test".
        data_dir: the data directory.
        path: the file, relative to the data directory or else to the working directory.
        class_names: names of the classes, for a file that gives none; label 0 is the first name.

    Raises:
        InputError: the file is missing or damaged, or an array is missing or of the wrong kind.
    """
    cache.check_split(split)
    file = cache.resolve(path, data_dir)
    others = [LABELS[each] for each in cache.SPLITS if each != split]
    optional = (*others, ("class_names",), GROUPS[split])
    with unchanged(file):
        arrays, notes = _read(file, [IMAGES[split], LABELS[split]], optional=optional)
    images, labels = arrays[IMAGES[split][0]], arrays[LABELS[split][0]]
    if images.dtype != np.uint8:
        hint = "store them as integers from 0 to 255: (255 * images).round().astype('uint8')"
        raise InputError(f"the {split} images are {images.dtype}, not uint8", where=str(file), hint=hint)
    labelled = [arrays[LABELS[each][0]] for each in cache.SPLITS if LABELS[each][0] in arrays]
    own = None
    if "class_names" in arrays:
        own = [str(name) for name in decoded_text(arrays["class_names"], "class names", str(file)).flat]
    named = checked_names(own, class_names, where=str(file))
    names = tuple(_names_in_labels(labelled, where=str(file)) if named is None else named)
    what = f"{split} labels"
    classes = class_labels(labels, names, own_names=names, what=what, where=f"{file}, {split}")
    try:
        images = images[:, :, :, None] if images.ndim == 3 else images
        groups = arrays.get(GROUPS[split][0])
        return ImageSet(images, classes, names, notes=notes, groups=groups)
    except InputError as error:
        raise InputError(error.what, where=f"{file}, {split}") from None


def stamp(data_dir: Path, *, path: str) -> str:
    """Return a fingerprint of the file's content; arguments as for `load`."""
    return content_stamp(cache.resolve(path, data_dir), data_dir)


def origin(data_dir: Path, *, path: str, class_names: tuple[str, ...] = ()) -> cache.Origin:
    """Return the file; arguments as for `load`."""
    return cache.Origin("an .npz file", cache.resolve(path, data_dir))


def _names_in_labels(labels: Sequence[NDArray[Any]], *, where: str) -> tuple[str, ...]:
    """Return the names of the classes of a file that gives none: its texts, sorted, else 0, 1, ..."""
    texts = [each for each in labels if each.dtype.kind in "SU"]
    if texts and len(texts) < len(labels):
        hint = "write all of them as numbers, or all as text"
        raise InputError("the labels of one split are text, the other's numbers", where=where, hint=hint)
    if texts:
        named = [sorted({str(name) for name in decoded_text(each, "labels", where).flat}) for each in texts]
        if set(named[-1]) - set(named[0]):  # test images of classes that cannot be learnt
            raise InputError(
                "train and test have different classes: train has {}; test has {}".format(
                    *(first_of(names, LISTED) for names in named)
                ),
                where=where,
                hint="spell them alike, or give the names of all classes as the option class_names",
            )
        return tuple(named[0])
    columns = [each.shape[1] for each in labels if each.ndim == 2 and each.shape[1] > 1]
    numbers = [each for each in labels if each.size and each.dtype.kind in "iufb"]
    tops = [int(each.max()) + 1 for each in numbers if not columns and np.isfinite(each.max())]
    count = max([*columns, *tops], default=0)
    if count > MOST_CLASSES:
        hint = "number the classes from 0"
        raise InputError(f"the labels run to {count - 1}", where=where, hint=hint)
    return tuple(str(number) for number in range(count))


def _read(
    path: Path, wanted: Sequence[tuple[str, ...]], *, optional: Sequence[tuple[str, ...]]
) -> tuple[Mapping[str, NDArray[Any]], tuple[str, ...]]:
    """Return arrays, each by the first of its possible names; and a note on a validation split."""
    try:
        with cache.open_npz(path) as file:
            unused = ", ".join(cache.arrays_of_splits(file.files, *cache.VALIDATION))
            notes = (f"{path}: its validation split ({unused}) is kept apart, not used",) if unused else ()
            found = {}
            for names in [*wanted, *(names for names in optional if set(names) & set(file.files))]:
                present = next((name for name in names if name in file.files), None)
                if present is None:
                    raise InputError(
                        f"it has no array {' or '.join(names)}; it has {', '.join(file.files) or 'none'}",
                        where=str(path),
                    )
                found[names[0]] = file[present]
            return found, notes
    except FileNotFoundError:
        hint = "`path` is relative to the data directory or else to the working directory"
        raise InputError("there is no such file", where=str(path), hint=hint) from None
    except cache.DAMAGE as error:
        raise InputError(f"not a readable .npz file ({error})", where=str(path)) from error
