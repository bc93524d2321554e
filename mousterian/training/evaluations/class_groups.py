"""Mean per-class accuracy, and many-, medium- and few-shot accuracy: the metrics for long tails."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mousterian.data.image_set import TrialImages
from mousterian.errors import InputError
from mousterian.plugins.options import Positive
from mousterian.training.evaluations._predictions import columns, labels_of, outputs
from mousterian.training.loop import Normalised


def evaluate_trial(
    model: Normalised,
    images: TrialImages,
    device: torch.device,
    *,
    many: int = 800,
    few: int = 300,
    batch_size: Positive = 1000,
) -> dict[str, Any]:
    """Score the mean over classes, and over those with many, some and few real images in S_base.

    Trials that differ in what is added have the same groups, which S_base alone defines. The defaults are
    those of Diversify's ImageNet (its Appendix); ImageNet-LT has many = 100, few = 20.

    Args:
        model: classifier of uint8 images.
        images: of the trial.
        device: to evaluate on.
        many: a class with more images than this in S_base is many-shot.
        few: a class with fewer is few-shot; the others are medium-shot.
        batch_size: images at a time.

    Returns:
        The columns of the evaluation `accuracy`; mean_per_class, many_shot, medium_shot and few_shot
        (0 to 1), each None if the group is empty.
    """
    labels = labels_of(images.test, device)
    found = columns(outputs(model, images.test, device, batch_size), labels)
    accuracies = np.array(found["per_class"])
    base = images.train.labels[images.real[: images.n_base]]
    counts = np.bincount(base, minlength=len(accuracies))
    return {
        **found,
        "mean_per_class": _mean(accuracies),
        "many_shot": _mean(accuracies[counts > many]),
        "medium_shot": _mean(accuracies[(counts >= few) & (counts <= many)]),
        "few_shot": _mean(accuracies[counts < few]),
    }


def check(images: TrialImages, *, many: int, few: int) -> None:
    """Refuse groups that overlap."""
    if few > many:
        raise InputError(
            f"few = {few} is more than many = {many}",
            hint="a class has many images above `many`, few below `few`",
        )


def _mean(accuracies: np.ndarray) -> float | None:
    """Return the mean over classes that have test images; None if there is none."""
    known = accuracies[np.isfinite(accuracies)]
    return float(known.mean()) if known.size else None
