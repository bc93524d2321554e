"""A linear probe: logistic regression on a classifier's frozen features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mousterian.data.image_set import TrialImages
from mousterian.errors import InputError
from mousterian.plugins.options import NotNegative, Positive
from mousterian.training.evaluations._other_datasets import known_and_asked, stamp_of
from mousterian.training.evaluations._predictions import columns, frozen, labels_of
from mousterian.training.loop import Normalised

_HELD_OUT = 5  # one in so many of each class


def evaluate_trial(
    model: Normalised,
    images: TrialImages,
    device: torch.device,
    *,
    dataset: str | dict[str, Any] = "",
    decays: tuple[NotNegative, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1),
    iterations: Positive = 200,
    batch_size: Positive = 1000,
) -> dict[str, Any]:
    """Score a logistic regression on penultimate features, the network frozen.

    Its decay is the one that does best on a fifth of the labelled training images held out; it is then
    fitted to all of them. No test image has a part in that.

    Args:
        model: classifier of uint8 images, of which all but the last linear layer is used.
        images: of the trial.
        device: where to evaluate.
        dataset: another dataset (plug-in, or a table with name and options) whose training images are
            learnt from and whose test images are asked: transfer of fixed features; default: S_base is
            learnt from, the trial's test images are asked.
        decays: L2 penalties to choose from, each half of it times the squared weights; features have
            unit deviation.
        iterations: of L-BFGS at most.
        batch_size: images at a time.

    Returns:
        The columns of the evaluation `accuracy`; evaluation_set if `dataset` is given.

    Raises:
        InputError: there is no such dataset.
    """
    known, asked, named = known_and_asked(images, dataset)
    features, questions = (frozen(model, each, device, batch_size) for each in (known, asked))
    mean, deviation = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    features, questions = (features - mean) / deviation, (questions - mean) / deviation
    labels, classes = labels_of(known, device), len(known.class_names)
    weight, bias = fitted(
        features, labels, classes, _chosen(features, labels, classes, decays, iterations), iterations
    )
    return {**columns(questions @ weight.T + bias, labels_of(asked, device)), **named}


def stamp(data_dir: Path, *, dataset: str | dict[str, Any] = "") -> str:
    """Return what tells the content of the files that the dataset names."""
    return stamp_of(dataset, data_dir)


def check(
    images: TrialImages, *, decays: tuple[NotNegative, ...], dataset: str | dict[str, Any] = ""
) -> None:
    """Refuse an empty choice of decays and another dataset that cannot be had, before anything trains."""
    if not decays:
        raise InputError("there is no decay to choose", hint="give at least one")
    known_and_asked(images, dataset)


def fitted(
    features: Tensor, labels: Tensor, classes: int, decay: float, iterations: int
) -> tuple[Tensor, Tensor]:
    """Return weight (classes, D) and bias (classes,) of a multinomial logistic regression.

    Minimises the mean cross-entropy plus decay / 2 times the squared weights, from zero, by L-BFGS.

    Args:
        features: (N, D) float32.
        labels: (N,) int64.
        classes: number of classes.
        decay: penalty; the bias has none.
        iterations: at most.
    """
    weight = torch.zeros(classes, features.shape[1], device=features.device, requires_grad=True)
    bias = torch.zeros(classes, device=features.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=iterations, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = (
            functional.cross_entropy(features @ weight.T + bias, labels) + decay / 2 * weight.square().sum()
        )
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def _chosen(
    features: Tensor, labels: Tensor, classes: int, decays: tuple[float, ...], iterations: int
) -> float:
    """Return the decay with the lowest loss on held-out images; the largest where no class can spare one."""
    held = held_out(labels)
    if len(decays) == 1 or not held.any():
        return max(decays)

    def loss(decay: float) -> float:
        weight, bias = fitted(features[~held], labels[~held], classes, decay, iterations)
        return float(functional.cross_entropy(features[held] @ weight.T + bias, labels[held]))

    return min(decays, key=loss)


def held_out(labels: Tensor) -> Tensor:
    """Return (N,) bool: the second image of each class, and each fifth one after it."""
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels)
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    ranks = torch.empty_like(labels)
    ranks[order] = torch.arange(len(labels), device=labels.device) - starts
    return ranks % _HELD_OUT == 1
