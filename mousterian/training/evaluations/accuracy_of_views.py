"""Accuracy of the mean over several views of each test image (test-time augmentation)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from mousterian.data.image_set import ImageSet
from mousterian.plugins.options import Positive
from mousterian.training.evaluations._predictions import columns, labels_of, outputs
from mousterian.training.loop import Normalised


def evaluate(
    model: Normalised,
    images: ImageSet,
    device: torch.device,
    *,
    views: Literal["flip", "flip_translate"] = "flip_translate",
    batch_size: Positive = 2000,
) -> dict[str, Any]:
    """Score the mean logits over each image's views, which do not depend on test labels.

    Args:
        model: classifier of uint8 images.
        images: test images with labels.
        device: to evaluate on.
        views: flip: the image and its mirror image; flip_translate: half of that, half the mean over both
            shifted by one pixel up and left, and down and right (reflected at the edge), as in airbench94.
        batch_size: images at a time.

    Returns:
        The columns of the evaluation `accuracy`.
    """
    shifts = [(0, 0.5), (-1, 0.25), (1, 0.25)] if views == "flip_translate" else [(0, 1.0)]
    total = torch.zeros((), device=device)
    for (shift, weight), mirrored in product(shifts, (False, True)):
        scores = outputs(model, images, device, batch_size, _view(shift, mirrored))
        total = total + 0.5 * weight * scores
    return columns(total, labels_of(images, device))


def _view(shift: int, mirrored: bool) -> Callable[[Tensor], Tensor]:
    def view(images: Tensor) -> Tensor:
        if shift:
            height, width = images.shape[2:]
            padded = functional.pad(images.float(), (1, 1, 1, 1), mode="reflect").to(images.dtype)
            start = 1 + shift
            images = padded[:, :, start : start + height, start : start + width]
        return images.flip(3) if mirrored else images

    return view
