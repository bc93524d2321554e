"""Images of other datasets, at the classifier's image size and with its classes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mousterian.data.cache import data_directory
from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.data.loading import dataset_named, dataset_text
from mousterian.data.resizing import cropped, to_array, to_tensor, with_channels
from mousterian.errors import InputError, nearest
from mousterian.seeds import canonical

Dataset = str | Mapping[str, Any]
_BATCH = 512
_LISTED = 5


def text_of(dataset: Dataset) -> str:
    """Return a dataset, given by name or as a table with its options, as one text.

    Raises:
        InputError: no such dataset or option.
    """
    plugin, options = dataset_named(dataset if isinstance(dataset, str) else canonical(dict(dataset)))
    return dataset_text(plugin.name, options)


def dataset_stamp(data_dir: Path, *, dataset: Dataset = "") -> str:
    """Return a fingerprint of the files that a dataset's options name; "" for no dataset."""
    if not dataset:
        return ""
    plugin, options = dataset_named(text_of(dataset))
    return plugin.stamp(data_dir, options)


def dataset_revisions(*, dataset: Dataset = "") -> list[int]:
    """Return the revision of a dataset's code; none for no dataset."""
    if not dataset:
        return []
    plugin, options = dataset_named(text_of(dataset))
    return [plugin.revision(options)]


def other_dataset(dataset: Dataset, split: str, images: TrialImages) -> ImageSet:
    """Return a split of another dataset, its images scaled and cropped to the size of the trial's.

    Raises:
        InputError: no such dataset or option, or it is not available.
    """
    data_dir = data_directory(images.data_dir)
    stamp = dataset_stamp(data_dir, dataset=dataset)  # so that other files are not taken for these
    return _load(text_of(dataset), stamp, split, data_dir, images.train.shape)


@lru_cache(maxsize=4)
def _load(text: str, stamp: str, split: str, data_dir: Path, shape: tuple[int, int, int]) -> ImageSet:
    plugin, options = dataset_named(text)
    found: ImageSet = plugin.load()(split, data_dir, **options, **plugin.preset)
    if found.shape == shape:
        return found
    return ImageSet(_resized(found.images, shape), found.labels, found.class_names, found.synthetic)


def _resized(images: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    height, width, channels = shape
    parts = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    return np.concatenate(
        [to_array(cropped(with_channels(to_tensor(part, "cpu"), channels), height, width)) for part in parts]
    )


def probe_sets(images: TrialImages, dataset: Dataset) -> tuple[ImageSet, ImageSet, dict[str, Any]]:
    """Return the training and test images of a probe, and its extra result columns.

    They are another dataset's training and test images; without one, S_base and the trial's test images,
    which are the same for trials that differ only in what is added.
    """
    if not dataset:
        return images.train.take(images.real[: images.n_base]), images.test, {}
    train, test = (other_dataset(dataset, split, images) for split in ("train", "test"))
    return train, test, {"evaluation_set": f"{text_of(dataset)}/test"}


def check_dataset(images: TrialImages, *, dataset: Dataset = "") -> None:
    """Refuse an unavailable dataset before training."""
    probe_sets(images, dataset)


@lru_cache(maxsize=4)
def match_classes(others: ImageSet, class_names: tuple[str, ...]) -> ImageSet:
    """Return a set with its labels mapped to `class_names`; classes are matched by name.

    Numbered classes (an .npz without names) are taken to be those of `class_names`, in order.

    Raises:
        InputError: it has a class that is not in `class_names`.
    """
    numbered = others.class_names == tuple(map(str, range(len(others.class_names))))
    if others.class_names == class_names:
        return others
    if numbered and len(others.class_names) <= len(class_names) and others.class_names[0] not in class_names:
        return ImageSet(others.images, others.labels, class_names, others.synthetic)
    positions = {name: position for position, name in enumerate(class_names)}
    missing = [name for name in others.class_names if name not in positions]
    if missing:
        raise InputError(
            f"{len(missing)} of its classes are not the classifier's: {', '.join(missing[:_LISTED])}",
            where="evaluation set",
            hint=_hint(missing[0], class_names),
        )
    labels = np.array([positions[name] for name in others.class_names])[others.labels]
    return ImageSet(others.images, labels, class_names, others.synthetic)


def _hint(name: str, class_names: tuple[str, ...]) -> str:
    match = nearest(name, class_names)
    near = f"is {name!r} the classifier's {match!r}? " if match else ""
    return (
        f"{near}Classes are matched by name: use the same names in both, for folders by the option `classes`"
    )


class RestrictedClassifier(nn.Module):
    """A classifier that predicts only allowed classes."""

    def __init__(self, model: nn.Module, allowed: Tensor) -> None:
        super().__init__()
        self.model = model
        self.allowed = allowed

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes), -inf for classes that are not allowed."""
        logits: Tensor = self.model(images)
        return logits.masked_fill(~self.allowed, -torch.inf)
