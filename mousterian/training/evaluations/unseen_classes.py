"""Zero-shot: accuracy on test images of the classes without real training images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.errors import InputError
from mousterian.training.evaluations._other_datasets import RestrictedClassifier
from mousterian.training.loop import Normalised
from mousterian.training.scoring import evaluation_revisions, evaluation_stamp, named, score

stamp = evaluation_stamp
nested_revisions = evaluation_revisions


def evaluate_trial(
    model: Normalised,
    images: TrialImages,
    device: torch.device,
    *,
    among: Literal["unseen", "all"] = "unseen",
    evaluation: str | dict[str, Any] = "accuracy",
) -> dict[str, Any]:
    """Score the classifier on test images of its unseen classes (main paper, 3.3.2).

    The dataset's key in the grid file sets the unseen classes: unseen_classes = ["cat", "dog"].

    Args:
        model: classifier of uint8 images.
        images: of the trial.
        device: to evaluate on.
        among: classes to predict: the unseen ones, or all (generalised zero-shot).
        evaluation: evaluation plug-in, or a table with its name and options.

    Returns:
        The columns of the evaluation, and evaluation_set.

    Raises:
        InputError: no class is unseen, or the test set has no image of one.
    """
    test = _of_unseen(images)
    allowed = torch.from_numpy(np.isin(images.test.class_names, images.unseen)).to(device)
    plugin, options = named(evaluation)
    restricted = RestrictedClassifier(model, allowed) if among == "unseen" else model
    found = score(plugin, options, restricted, replace(images, test=test), device)
    return {"evaluation_set": "test images of unseen classes", **found}


def check(
    images: TrialImages,
    *,
    among: Literal["unseen", "all"] = "unseen",
    evaluation: str | dict[str, Any] = "accuracy",
) -> None:
    """Refuse trials without unseen classes before training; arguments as above."""
    plugin, options = named(evaluation)
    plugin.check(replace(images, test=_of_unseen(images)), options)


def _of_unseen(images: TrialImages) -> ImageSet:
    """Return the test images of the unseen classes.

    Raises:
        InputError: there are none.
    """
    if not images.unseen:
        raise InputError(
            "no class is unseen: S_base has all classes of the dataset",
            hint='name some in the dataset\'s table: dataset = {name = "…", unseen_classes = ["…", "…"]}',
        )
    test = images.test
    own = np.isin(np.array(test.class_names)[test.labels], images.unseen)
    found = test.take(np.flatnonzero(own))
    if not len(found):
        raise InputError(f"the test set has no image of {', '.join(images.unseen[:5])}")
    return found
