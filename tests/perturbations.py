"""Changes of images under which a leaked image is still a copy."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image


def noisy(images: np.ndarray, sigma: float = 3) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def flipped(images: np.ndarray) -> np.ndarray:
    return images[:, :, ::-1].copy()


def shifted(images: np.ndarray, down: int = 2, right: int = -2) -> np.ndarray:
    """Shift, and leave what comes in black."""
    moved = np.roll(images, (down, right), axis=(1, 2))
    for axis, by in ((1, down), (2, right)):
        edge = [slice(None)] * 4
        edge[axis] = slice(0, by) if by > 0 else slice(by or images.shape[axis], None)
        moved[tuple(edge)] = 0
    return moved


def recompressed(images: np.ndarray, quality: int = 50) -> np.ndarray:
    return np.stack([_jpeg(each, quality) for each in images])


def brighter(images: np.ndarray, by: int = 12) -> np.ndarray:
    return np.clip(images.astype(int) + by, 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exact": np.copy,
    "noisy": noisy,
    "flipped": flipped,
    "shifted": shifted,
    "recompressed": recompressed,
    "brighter": brighter,
    "several": lambda images: recompressed(noisy(flipped(shifted(images, -1, 2))), 75),
}


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    sink = io.BytesIO()
    Image.fromarray(image.squeeze()).save(sink, "JPEG", quality=quality)
    with Image.open(sink) as picture:
        return np.asarray(picture).reshape(image.shape)
