"""k nearest neighbours in a classifier's frozen features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mousterian.data.image_set import TrialImages
from mousterian.plugins.options import AboveZero, Positive
from mousterian.training.evaluations._other_datasets import (
    check_dataset,
    dataset_revisions,
    dataset_stamp,
    probe_sets,
)
from mousterian.training.evaluations._predictions import accuracies, labels_of, penultimate_features
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
    neighbours: Positive = 20,
    temperature: AboveZero = 0.07,
    batch_size: Positive = 1000,
) -> dict[str, Any]:
    """Score the votes of the nearest labelled images, by the cosine of penultimate features.

    Votes are weighted by exp(cosine / temperature) (Wu et al. 2018).

    Args:
        model: classifier of uint8 images, used without its last linear layer.
        images: of the trial.
        device: to evaluate on.
        dataset: another dataset (plug-in, or a table with name and options), whose training images vote on
            its test images: transfer of fixed features; default: S_base votes on the trial's test images.
        neighbours: number of voting neighbours.
        temperature: of the votes' weights.
        batch_size: images at a time.

    Returns:
        The columns of the evaluation `accuracy` but loss; evaluation_set if `dataset` is given.

    Raises:
        InputError: there is no such dataset.
    """
    train, test, extra = probe_sets(images, dataset)
    bank, queries = (
        functional.normalize(penultimate_features(model, each, device, batch_size), dim=1)
        for each in (train, test)
    )
    one_hot = functional.one_hot(labels_of(train, device), len(train.class_names))
    parts = queries.split(batch_size)  # type: ignore[no-untyped-call]
    scores = torch.cat([votes(part, bank, one_hot, neighbours, temperature) for part in parts])
    return {**accuracies(scores, labels_of(test, device)), **extra}


def votes(queries: Tensor, bank: Tensor, one_hot: Tensor, neighbours: int, temperature: float) -> Tensor:
    """Return the votes (N, classes) float32 of each query's nearest in the bank.

    Args:
        queries: (N, D) float32 of unit length.
        bank: (M, D) float32 of unit length.
        one_hot: (M, classes), one-hot labels of the bank.
        neighbours: number of voting neighbours, at most M.
        temperature: of the weights.
    """
    cosines, nearest = (queries @ bank.T).topk(min(neighbours, len(bank)), dim=1)
    weights = ((cosines - 1) / temperature).exp()
    found = queries.new_zeros(len(queries), one_hot.shape[1])
    return found.scatter_add_(1, one_hot.argmax(1)[nearest], weights)
