"""Pixel values as features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mousterian.training.feature_spaces import Output


def load(device: str, data_dir: Path) -> Callable[[NDArray[np.uint8]], Output]:
    """The pixel values, from 0 to 1, as one vector per image: no network, no weights."""
    return _outputs


def _outputs(images: NDArray[np.uint8]) -> Output:
    features: NDArray[np.float32] = images.reshape(len(images), -1).astype(np.float32)
    features /= 255
    return Output(features)
