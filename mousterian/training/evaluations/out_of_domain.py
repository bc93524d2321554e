"""Any evaluation on another set of images of the same classes, such as sketches or corrupted images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.training.evaluations._other_datasets import (
    RestrictedClassifier,
    dataset_revisions,
    dataset_stamp,
    match_classes,
    other_dataset,
    text_of,
)
from mousterian.training.loop import Normalised
from mousterian.training.scoring import evaluation_revisions, evaluation_stamp, named, score


def evaluate_trial(
    model: Normalised,
    images: TrialImages,
    device: torch.device,
    *,
    dataset: str | dict[str, Any],
    split: Literal["test", "train"] = "test",
    evaluation: str | dict[str, Any] = "accuracy",
) -> dict[str, Any]:
    """Score the classifier on another set of images, with predictions restricted to the set's classes.

    ImageNet-V2, -Sketch, -R and other folders of classes: dataset = {name = "image_folder",
    path = "imagenet-r", train = ".", test = ".", size = 224}, with the option `classes` if the folders' names
    are not those of the training set's classes. CIFAR-10.1 and corruptions: {name = "npz", path = "...npz"}
    with test_images and test_labels. Images of another size are scaled and cropped. For several sets, list
    several such evaluations in the grid file.

    Args:
        model: classifier of uint8 images.
        images: of the trial.
        device: to evaluate on.
        dataset: dataset plug-in, or a table with its name and options; classes are matched by name.
        split: which of its splits.
        evaluation: evaluation plug-in, or a table with its name and options.

    Returns:
        The columns of the evaluation, and evaluation_set.

    Raises:
        InputError: no such dataset, evaluation or option, or the set has classes that are not the
            classifier's.
    """
    test = match_classes(other_dataset(dataset, split, images), images.train.class_names)
    restricted = RestrictedClassifier(model, _allowed(test).to(device))
    plugin, options = named(evaluation)
    found = score(plugin, options, restricted, replace(images, test=test), device)
    return {"evaluation_set": f"{text_of(dataset)}/{split}", **found}


def stamp(
    data_dir: Path, *, dataset: str | dict[str, Any], evaluation: str | dict[str, Any] = "accuracy"
) -> str:
    """Return a fingerprint of the files that the options name."""
    return dataset_stamp(data_dir, dataset=dataset) + evaluation_stamp(data_dir, evaluation=evaluation)


def nested_revisions(
    *, dataset: str | dict[str, Any], evaluation: str | dict[str, Any] = "accuracy"
) -> list[int]:
    """Return the revisions of the dataset and of the evaluation."""
    return dataset_revisions(dataset=dataset) + evaluation_revisions(evaluation=evaluation)


def check(
    images: TrialImages,
    *,
    dataset: str | dict[str, Any],
    split: Literal["test", "train"] = "test",
    evaluation: str | dict[str, Any] = "accuracy",
) -> None:
    """Refuse an unavailable set or one of other classes before training; arguments as above."""
    test = match_classes(other_dataset(dataset, split, images), images.train.class_names)
    plugin, options = named(evaluation)
    plugin.check(replace(images, test=test), options)


def _allowed(test: ImageSet) -> Tensor:
    """Return (classes,) bool, True for classes with images in the set."""
    counts = np.bincount(test.labels, minlength=len(test.class_names))
    return torch.from_numpy(counts > 0)
