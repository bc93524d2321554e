"""Negative log-likelihood and expected calibration error."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mousterian.data.image_set import ImageSet
from mousterian.plugins.options import Positive
from mousterian.training.evaluations._predictions import columns, labels_of, outputs
from mousterian.training.loop import Normalised


def evaluate(
    model: Normalised,
    images: ImageSet,
    device: torch.device,
    *,
    bins: Positive = 15,
    batch_size: Positive = 1000,
) -> dict[str, Any]:
    """Score the classifier's probabilities: negative log-likelihood and expected calibration error.

    Args:
        model: classifier of uint8 images.
        images: test images with labels.
        device: to evaluate on.
        bins: of equal width for the confidences (15 in Guo et al. 2017).
        batch_size: images at a time.

    Returns:
        The columns of the evaluation `accuracy`, of which loss is the negative log-likelihood;
        confidence and ece (0 to 1). Confidence above top1 is overconfidence.
    """
    labels = labels_of(images, device)
    scores = outputs(model, images, device, batch_size)
    confidences, predictions = scores.softmax(1).max(1)
    return {
        **columns(scores, labels),
        "confidence": float(confidences.double().mean()),
        "ece": calibration_error(confidences, predictions == labels, bins),
    }


def calibration_error(confidences: Tensor, correct: Tensor, bins: int) -> float:
    """Return the mean over images of |accuracy - confidence| of the image's bin.

    Args:
        confidences: (N,) float, probability of each prediction.
        correct: (N,) bool, whether it is correct.
        bins: of equal width between 0 and 1; each includes its upper edge.
    """
    indices = (confidences.double() * bins).ceil().long().clamp(1, bins) - 1
    surplus = torch.zeros(bins, dtype=torch.float64, device=confidences.device)
    surplus.index_add_(0, indices, correct.double() - confidences.double())
    return float(surplus.abs().sum() / len(confidences))
