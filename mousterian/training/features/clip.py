"""CLIP's image features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mousterian.training.encoders.clip_weights import weights_stamp
from mousterian.training.feature_spaces import Output


def load(
    device: str, data_dir: Path, *, model: str = "ViT-B-32", weights: str = ""
) -> Callable[[NDArray[np.uint8]], Output]:
    """Image features of a CLIP model, of unit length, from open_clip.

    Args:
        device: torch device name.
        data_dir: unused.
        model: name in open_clip; or local-dir, with a folder as the weights.
        weights: file of the weights, or a tag in open_clip.
    """
    from mousterian.training.encoders import clip

    # open_clip's schemas contain a colon, the separator in a space's name.
    if model in {"local-dir", "hf-hub"}:
        model, weights = f"{model}:{weights}", ""
    loaded = clip.load(model, weights, device)
    return lambda images: Output(loaded.images(images))


def stamp(data_dir: Path, *, model: str = "ViT-B-32", weights: str = "") -> str:
    """Return a fingerprint of the weights; arguments as for `load`."""
    return weights_stamp(model, weights, data_dir)
