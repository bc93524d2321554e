"""Image-classification datasets of torchvision as image sets, whatever their constructors' arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mousterian.data.cache import SPLITS
from mousterian.data.datasets._sources import SourceError, network_timeout
from mousterian.data.decoding import fitted, stack
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError

# torchvision's names of the two splits; the first that a dataset knows is used.
SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "trainval", "train-standard"),
    "test": ("test", "val", "valid"),
}


def both_splits(class_name: str, root: Path, *, needs: str | None = None) -> dict[str, ImageSet]:
    """Return the train and test images of a torchvision dataset.

    Args:
        class_name: torchvision's name, e.g. "CIFAR10".
        root: folder in torchvision's usual layout.
        needs: a file or folder that must exist in `root`; None: download into `root`.
    """
    if needs is not None and not (root / needs).exists():
        raise SourceError(f"there is no {root / needs}")
    splits = {}
    for split in SPLITS:
        dataset = open_split(class_name, root, split, download=needs is None)
        splits[split] = to_images(dataset, None, where=class_name)
    return splits


def open_split(
    class_name: str,
    root: Path,
    split: str,
    *,
    download: bool,
    split_name: str | None = None,
    variant: str | None = None,
) -> Any:
    """Return torchvision's dataset object for one split.

    Args:
        class_name: torchvision's name, e.g. "SVHN".
        root: folder of its files, existing or downloaded.
        split: "train" or "test".
        download: whether it may be downloaded.
        split_name: torchvision's name for the split, if not one of the usual ones.
        variant: which part of a dataset that has several, such as EMNIST's "letters".

    Raises:
        InputError: the dataset has no test split, or needs a variant.
        SourceError: it knows none of the split names.
        OSError, RuntimeError: from torchvision, if the files are missing or cannot be downloaded.
    """
    from torchvision import datasets

    dataset = getattr(datasets, class_name)
    known = parameters(dataset)
    common: dict[str, Any] = {"root": root}
    if "download" in known:
        common["download"] = download
    reasons = []
    for choice in _split_arguments(class_name, known, split, split_name, variant):
        try:
            with network_timeout():
                return dataset(**common, **choice)
        except ValueError as error:
            reasons.append(str(error))
    raise SourceError("; ".join(reasons))


def _split_arguments(
    class_name: str, known: Mapping[str, Any], split: str, split_name: str | None, variant: str | None
) -> list[dict[str, Any]]:
    if "train" in known:
        if "split" not in known:
            return [{"train": split == "train"}]
        if variant is None:
            raise InputError(
                f"torchvision's {class_name} has several parts",
                hint="name one with the option `variant`, as in torchvision's documentation of `split`",
            )
        return [{"train": split == "train", "split": variant}]
    if "split" in known:
        return [{"split": name} for name in ((split_name,) if split_name else SPLIT_NAMES[split])]
    raise InputError(
        f"torchvision's {class_name} has no train and test split",
        hint="split its images into two folders yourself and use the dataset `image_folder`",
    )


def parameters(dataset: type) -> dict[str, inspect.Parameter]:
    """Return a class's constructor arguments by name, including those passed on to its base classes."""
    found: dict[str, inspect.Parameter] = {}
    for each in dataset.__mro__:
        if "__init__" in vars(each):
            own = inspect.signature(vars(each)["__init__"]).parameters
            found = {**own, **found}
            if all(argument.kind is not argument.VAR_KEYWORD for argument in own.values()):
                break
    return found


def to_images(dataset: Any, size: int | None, *, where: str) -> ImageSet:
    """Return a torchvision dataset object as an image set, in its order.

    Raises:
        InputError: its items are not pictures of one class each, or differ in size and `size` is None.
    """
    from PIL.Image import Image

    pictures, labels = [], []
    for index in range(len(dataset)):
        item = dataset[index]
        picture, label = item[:2] if isinstance(item, tuple) else (None, None)
        if not isinstance(picture, Image) or not isinstance(label, int | np.integer):
            raise InputError("its items are not pictures of one class each", where=f"torchvision's {where}")
        pictures.append(fitted(picture, size))
        labels.append(int(label))
    if not pictures:
        raise SourceError("it has no images")
    names = getattr(dataset, "classes", None) or range(max(labels) + 1)
    return ImageSet(
        stack(pictures, where=f"torchvision's {where}"),
        np.array(labels, dtype=np.int64),
        tuple(name[0] if isinstance(name, tuple) else str(name) for name in names),
    )
