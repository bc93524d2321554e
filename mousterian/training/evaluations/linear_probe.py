"""A linear probe: logistic regression on a classifier's frozen features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mousterian.data.image_set import TrialImages
from mousterian.errors import InputError
from mousterian.plugins.options import NotNegative, Positive
from mousterian.training.evaluations._other_datasets import dataset_revisions, dataset_stamp, probe_sets
from mousterian.training.evaluations._predictions import columns, labels_of, penultimate_features
from mousterian.training.loop import Normalised

stamp = dataset_stamp
nested_revisions = dataset_revisions
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

    Its weight decay is selected on a held-out fifth of the training images; it is then refitted to all of
    them. Test images are not used for either.

    Args:
        model: classifier of uint8 images, used without its last linear layer.
        images: of the trial.
        device: to evaluate on.
        dataset: another dataset (plug-in, or a table with name and options), whose training images are
            fitted and whose test images are scored: transfer of fixed features; default: S_base is fitted,
            the trial's test images are scored.
        decays: L2 penalties to choose from: half of it times the squared weights is added to the loss;
            features are standardised.
        iterations: maximum number of L-BFGS iterations.
        batch_size: images at a time.

    Returns:
        The columns of the evaluation `accuracy`; evaluation_set if `dataset` is given.

    Raises:
        InputError: there is no such dataset.
    """
    train, test, extra = probe_sets(images, dataset)
    features, test_features = (
        penultimate_features(model, each, device, batch_size) for each in (train, test)
    )
    mean, deviation = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    features, test_features = (features - mean) / deviation, (test_features - mean) / deviation
    labels, classes = labels_of(train, device), len(train.class_names)
    weight, bias = fit(
        features, labels, classes, _select_decay(features, labels, classes, decays, iterations), iterations
    )
    return {**columns(test_features @ weight.T + bias, labels_of(test, device)), **extra}


def check(
    images: TrialImages, *, decays: tuple[NotNegative, ...], dataset: str | dict[str, Any] = ""
) -> None:
    """Refuse an empty list of decays and an unavailable dataset before training."""
    if not decays:
        raise InputError("the list of decays is empty", hint="give at least one")
    probe_sets(images, dataset)


def fit(
    features: Tensor, labels: Tensor, classes: int, decay: float, iterations: int
) -> tuple[Tensor, Tensor]:
    """Return weight (classes, D) and bias (classes,) of a multinomial logistic regression.

    Minimises the mean cross-entropy plus decay / 2 times the squared weights, from zero, by L-BFGS.

    Args:
        features: (N, D) float32.
        labels: (N,) int64.
        classes: number of classes.
        decay: penalty on the weights, not on the bias.
        iterations: maximum number of iterations.
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


def _select_decay(
    features: Tensor, labels: Tensor, classes: int, decays: tuple[float, ...], iterations: int
) -> float:
    """Return the decay with the lowest loss on held-out images; the largest if none can be held out."""
    held = held_out(labels)
    if len(decays) == 1 or not held.any():
        return max(decays)

    def loss(decay: float) -> float:
        weight, bias = fit(features[~held], labels[~held], classes, decay, iterations)
        return float(functional.cross_entropy(features[held] @ weight.T + bias, labels[held]))

    return min(decays, key=loss)


def held_out(labels: Tensor) -> Tensor:
    """Return (N,) bool: the second image of each class, and every fifth one after it."""
    order = labels.argsort(stable=True)
    counts = torch.bincount(labels)
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    ranks = torch.empty_like(labels)
    ranks[order] = torch.arange(len(labels), device=labels.device) - starts
    return ranks % _HELD_OUT == 1
