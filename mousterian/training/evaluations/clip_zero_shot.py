"""CLIP zero-shot: what a CLIP model answers from class names alone, beside what was trained."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.errors import InputError
from mousterian.seeds import weights_stamp
from mousterian.training.encoders.clip import load
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
    """Score CLIP's own answers to the test images, from the names of the classes; nothing is trained.

    It is what a trial has to beat, and the same for all trials of one dataset.

    Args:
        model: unused; the trial's.
        images: test images with labels.
        device: where to evaluate.
        weights: file of CLIP's weights, or a tag in open_clip; "" where the model brings them.
        clip: name in open_clip, or local-dir:FOLDER.
        templates: texts of a class, {} is its name; a class is the mean of their vectors.

    Returns:
        The columns of the evaluation `accuracy`.

    Raises:
        InputError: the model or its weights cannot be had.
    """
    return columns(_logits(images, weights, clip, templates, str(device)), labels_of(images, device))


def stamp(data_dir: Path, *, weights: str, clip: str = "ViT-B-16") -> str:
    """Return what tells the content of the weights, if they lie on this machine."""
    return weights_stamp(clip, weights)


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
