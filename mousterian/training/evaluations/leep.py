"""LEEP: transferability of a classifier to another set's labels, without training on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mousterian.data.image_set import TrialImages
from mousterian.plugins.options import Positive
from mousterian.training.evaluations._other_datasets import (
    check_dataset,
    dataset_revisions,
    dataset_stamp,
    probe_sets,
)
from mousterian.training.evaluations._predictions import labels_of, outputs
from mousterian.training.loop import Normalised

stamp = dataset_stamp
nested_revisions = dataset_revisions
check = check_dataset


def evaluate_trial(
    model: Normalised,
    images: TrialImages,
    device: torch.device,
    *,
    dataset: str | dict[str, Any] = "",
    batch_size: Positive = 1000,
) -> dict[str, Any]:
    """Log expected empirical prediction (Nguyen et al. 2020): transferability to labelled images.

    Args:
        model: classifier of uint8 images, with any classes.
        images: of the trial.
        device: to evaluate on.
        dataset: plug-in, or a table with its name and options, on whose training images it is evaluated;
            default: S_base.
        batch_size: images at a time.

    Returns:
        leep (nats, at most 0; closer to 0 is more transferable), total, evaluation_set.

    Raises:
        InputError: there is no such dataset.
    """
    train, _, extra = probe_sets(images, dataset)
    probabilities = outputs(model, train, device, batch_size).softmax(1)
    name = extra["evaluation_set"].removesuffix("/test") + "/train" if extra else "S_base"
    return {
        "leep": leep(probabilities, labels_of(train, device)),
        "total": len(train),
        "evaluation_set": name,
    }


def leep(probabilities: Tensor, labels: Tensor) -> float:
    """Return the mean log of the empirical prediction P(y | x) = sum over z of P(y | z) θ(x)_z.

    Args:
        probabilities: θ, (N, Z), of each of the classifier's classes.
        labels: (N,) int64, y, from 0; of any number of classes.
    """
    theta = probabilities.double()
    joint = torch.zeros(int(labels.max()) + 1, theta.shape[1], dtype=torch.float64, device=theta.device)
    joint.index_add_(0, labels, theta)
    conditional = joint / joint.sum(0).clamp_min(torch.finfo(torch.float64).tiny)
    return float((theta * conditional[labels]).sum(1).log().mean())
