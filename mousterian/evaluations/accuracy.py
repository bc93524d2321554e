"""Top-1, top-5 and per-class accuracy with the mean cross-entropy: the evaluation every trial has."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from mousterian.images import ImageSet
from mousterian.training.loop import Normalised, to_device


def evaluate(
    model: Normalised, images: ImageSet, device: torch.device, *, batch_size: int = 1000
) -> dict[str, Any]:
    """Score the classifier on labelled images.

    Returns:
        top1, top5 (0 to 1), correct, total (counts), per_class (top-1 of each class, NaN where a class
        has no image), loss (nats).
    """
    pixels, labels = to_device(images, device)
    logits = []
    with torch.inference_mode():
        for start in range(0, len(labels), batch_size):
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits.append(model(pixels[start : start + batch_size]).float())
    scores = torch.cat(logits)
    classes = scores.shape[1]
    ranked = scores.topk(min(5, classes), dim=1).indices == labels[:, None]
    hits = torch.bincount(labels[ranked[:, 0]], minlength=classes).double()
    per_class = hits / torch.bincount(labels, minlength=classes)
    correct = int(ranked[:, 0].sum())
    return {
        "top1": correct / len(labels),
        "top5": int(ranked.sum()) / len(labels),
        "correct": correct,
        "total": len(labels),
        "per_class": per_class.cpu().tolist(),
        "loss": float(functional.cross_entropy(scores, labels)),
    }
