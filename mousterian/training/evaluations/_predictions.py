"""Outputs of a classifier on labelled images, and the store's columns computed from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.data.image_set import ImageSet
from mousterian.store.predictions import Predictions
from mousterian.training.feature_networks import penultimate
from mousterian.training.mixture import channels_first, resident

View = Callable[[Tensor], Tensor]


def identity(images: Tensor) -> Tensor:
    """Return the images (N, C, H, W) unchanged."""
    return images


def outputs(
    model: nn.Module, images: ImageSet, device: torch.device, batch_size: int, view: View = identity
) -> Tensor:
    """Return the logits (N, classes) float32 of a view of all images, on the device."""
    return _in_batches(lambda batch: model(view(batch)), images, device, batch_size)


def penultimate_features(model: nn.Module, images: ImageSet, device: torch.device, batch_size: int) -> Tensor:
    """Return the penultimate features (N, D) float32 of all images: inputs of the last linear layer."""
    embed = penultimate(model)
    # Cloned outside inference mode, so that a probe can be trained on them.
    return _in_batches(lambda batch: embed(batch)[0].flatten(1), images, device, batch_size).clone()


def _in_batches(
    function: Callable[[Tensor], Tensor], images: ImageSet, device: torch.device, batch_size: int
) -> Tensor:
    pixels = resident(images, device)
    with torch.inference_mode():
        parts = [
            function(channels_first(pixels[start : start + batch_size])).float()
            for start in range(0, len(pixels), batch_size)
        ]
    return torch.cat(parts)


def labels_of(images: ImageSet, device: torch.device) -> Tensor:
    """Return the labels (N,) int64 on the device."""
    return torch.from_numpy(images.labels).to(device)


def accuracies(scores: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return top1, top5, correct, total, per_class and predictions of scores (N, classes) for labels (N,)."""
    classes = scores.shape[1]
    highest = scores.topk(min(5, classes), dim=1).indices
    ranked = highest == labels[:, None]
    hits = torch.bincount(labels[ranked[:, 0]], minlength=classes).double()
    per_class = hits / torch.bincount(labels, minlength=classes)
    correct = int(ranked[:, 0].sum())
    return {
        "top1": correct / len(labels),
        "top5": int(ranked.sum()) / len(labels),
        "correct": correct,
        "total": len(labels),
        "per_class": per_class.cpu().tolist(),
        "predictions": Predictions(highest[:, 0].cpu().numpy(), labels.cpu().numpy()),
    }


def columns(scores: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return the columns of `accuracies`, and loss, of logits (N, classes) for labels (N,)."""
    return accuracies(scores, labels) | {"loss": float(functional.cross_entropy(scores, labels))}
