"""CLIP's image encoder with a linear head, which a strategy may initialise from texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mousterian.training.encoders.clip_weights import weights_stamp

if TYPE_CHECKING:
    from torch import nn


def build(
    classes: int,
    shape: tuple[int, int, int],
    *,
    model: str = "ViT-B-16",
    weights: str = "openai",
) -> nn.Module:
    """Build CLIP's image encoder with a linear head on its vectors of unit length, from open_clip.

    Images are resized to CLIP's size. The head is initialised to zero; the strategies classifier_tuning and
    fine_tune initialise it from the class names.

    Args:
        classes: number of classes.
        shape: height, width and channels of one image.
        model: name in open_clip ("RN50", "ViT-B-16"), or local-dir:FOLDER or hf-hub:OWNER/NAME.
        weights: file of the weights, or a tag in open_clip; empty if the model includes them.
    """
    from mousterian.training.encoders import clip
    from mousterian.training.models._clip import ClipClassifier

    return ClipClassifier(clip.load(model, weights, "cpu"), classes, shape[2])


def stamp(data_dir: Path, *, model: str = "ViT-B-16", weights: str = "openai") -> str:
    """Return a fingerprint of the weights, if they are on this machine."""
    return weights_stamp(model, weights, data_dir)
