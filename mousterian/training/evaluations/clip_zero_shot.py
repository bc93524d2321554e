"""CLIP zero-shot: the accuracy of a CLIP model from class names alone, as a baseline."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.errors import InputError
from mousterian.training.encoders.clip import load
from mousterian.training.encoders.clip_weights import weights_stamp
from mousterian.training.evaluations._predictions import columns, labels_of


def evaluate(
    model: nn.Module,
    images: ImageSet,
    device: torch.device,
    *,
    weights: str,
    clip: str = "ViT-B-16",
    templates: tuple[str, ...] = ("a photo of a {}",),
) -> dict[str, Any]:
    """Score CLIP's zero-shot predictions on the test images, from the class names; nothing is trained.

    It is a baseline, the same for all trials of one dataset.

    Args:
        model: unused; the trial's.
        images: test images with labels.
        device: to evaluate on.
        weights: file of CLIP's weights, or a tag in open_clip; "" if the model includes them.
        clip: name in open_clip, or local-dir:FOLDER.
        templates: texts of a class, with {} for its name; a class is the mean of their vectors.

    Returns:
        The columns of the evaluation `accuracy`.

    Raises:
        InputError: the model or its weights are not available.
    """
    return columns(_logits(images, weights, clip, templates, str(device)), labels_of(images, device))


def stamp(data_dir: Path, *, weights: str, clip: str = "ViT-B-16") -> str:
    """Return a fingerprint of the weights, if they are on this machine."""
    return weights_stamp(clip, weights, data_dir)


def check(images: TrialImages, *, templates: tuple[str, ...]) -> None:
    """Refuse a template without {}."""
    bad = [template for template in templates if "{}" not in template]
    if bad or not templates:
        raise InputError(
            f"template {bad[0]!r} has no {{}} for the class" if bad else "there are no templates",
        )


@lru_cache(maxsize=4)  # the same for every trial of a process
def _logits(images: ImageSet, weights: str, clip: str, templates: tuple[str, ...], device: str) -> Tensor:
    loaded = load(clip, weights, device)
    names = [name.replace("_", " ") for name in images.class_names]
    texts = np.mean(
        [loaded.texts([each.replace("{}", name) for name in names]) for each in templates], axis=0
    )
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    return torch.from_numpy(loaded.scale * loaded.images(images.images) @ texts.T).to(device)
