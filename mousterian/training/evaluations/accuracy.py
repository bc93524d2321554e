"""Top-1, top-5 and per-class accuracy with the mean cross-entropy: the default evaluation."""

from __future__ import annotations

from typing import Any

import torch

from mousterian.data.image_set import ImageSet
from mousterian.plugins.options import Positive
from mousterian.training.evaluations._predictions import columns, labels_of, outputs
from mousterian.training.loop import Normalised


def evaluate(
    model: Normalised, images: ImageSet, device: torch.device, *, batch_size: Positive = 1000
) -> dict[str, Any]:
    """Score the classifier on labelled images.

    Returns:
        top1, top5 (0 to 1), correct, total (counts), per_class (top-1 of each class, NaN where a class
        has no image), loss (nats).
    """
    return columns(outputs(model, images, device, batch_size), labels_of(images, device))
