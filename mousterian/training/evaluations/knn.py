"""k nearest neighbours in a classifier's frozen features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mousterian.data.image_set import TrialImages
from mousterian.plugins.options import AboveZero, Positive
from mousterian.training.evaluations._other_datasets import known_and_asked, stamp_of
from mousterian.training.evaluations._predictions import answers, frozen, labels_of
from mousterian.training.loop import Normalised


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

    Votes are weighed by exp(cosine / temperature) (Wu et al. 2018).

    Args:
        model: classifier of uint8 images, of which all but the last linear layer is used.
        images: of the trial.
        device: where to evaluate.
        dataset: another dataset (plug-in, or a table with name and options) whose training images vote on
            its test images: transfer of fixed features; default: S_base votes on the trial's test images.
        neighbours: that vote.
        temperature: of the votes' weights.
        batch_size: images at a time.

    Returns:
        The columns of the evaluation `accuracy` but loss; evaluation_set if `dataset` is given.

    Raises:
        InputError: there is no such dataset.
    """
    known, asked, named = known_and_asked(images, dataset)
    bank, queries = (
        functional.normalize(frozen(model, each, device, batch_size), dim=1) for each in (known, asked)
    )
    owners = functional.one_hot(labels_of(known, device), len(known.class_names))
    parts = queries.split(batch_size)  # type: ignore[no-untyped-call]
    scores = torch.cat([votes(part, bank, owners, neighbours, temperature) for part in parts])
    return {**answers(scores, labels_of(asked, device)), **named}


def stamp(data_dir: Path, *, dataset: str | dict[str, Any] = "") -> str:
    """Return what tells the content of the files that the dataset names."""
    return stamp_of(dataset, data_dir)


def check(images: TrialImages, *, dataset: str | dict[str, Any] = "") -> None:
    """Refuse another dataset that cannot be had, before anything trains."""
    known_and_asked(images, dataset)


def votes(queries: Tensor, bank: Tensor, owners: Tensor, neighbours: int, temperature: float) -> Tensor:
    """Return the votes (N, classes) float32 of each query's nearest in the bank.

    Args:
        queries: (N, D) float32 of unit length.
        bank: (M, D) float32 of unit length.
        owners: (M, classes), 1 at the class of each of the bank, else 0.
        neighbours: that vote; all of the bank if it has fewer.
        temperature: of the weights.
    """
    cosines, nearest = (queries @ bank.T).topk(min(neighbours, len(bank)), dim=1)
    weights = ((cosines - 1) / temperature).exp()
    found = queries.new_zeros(len(queries), owners.shape[1])
    return found.scatter_add_(1, owners.argmax(1)[nearest], weights)
