"""Resizing and converting batches of images, on their device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

# Weights of red, green and blue in a grey image (ITU-R BT.601, which PIL uses too).
LUMA = (0.299, 0.587, 0.114)


def to_tensor(images: NDArray[np.uint8], device: str | torch.device) -> Tensor:
    """Return images (N, H, W, C) uint8 as (N, C, H, W) float32 in [0, 1]."""
    return (
        torch.from_numpy(np.require(images, requirements=["C", "W"]))
        .to(device)
        .permute(0, 3, 1, 2)
        .float()
        .div_(255)
    )


def to_array(images: Tensor) -> NDArray[np.uint8]:
    """Return images (N, C, H, W) in [0, 1] as (N, H, W, C) uint8."""
    pixels = images.float().mul(255).round().clamp(0, 255).to(torch.uint8)
    result: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return result


def cropped(images: Tensor, height: int, width: int) -> Tensor:
    """Return images (N, C, H, W) in [0, 1] resized to cover (height, width), then centre-cropped.

    Bicubic with antialiasing, as in PIL; values are clamped to [0, 1].
    """
    _, _, rows, columns = images.shape
    if (rows, columns) == (height, width):
        return images
    scale = max(height / rows, width / columns)
    inner = (max(height, round(rows * scale)), max(width, round(columns * scale)))
    resized = functional.interpolate(images.float(), inner, mode="bicubic", antialias=True)
    top, left = (inner[0] - height) // 2, (inner[1] - width) // 2
    return resized[:, :, top : top + height, left : left + width].clamp(0, 1)


def with_channels(images: Tensor, channels: int) -> Tensor:
    """Return images (N, 1 or 3, H, W) with 1 or 3 channels: grey is repeated, colour reduced to luma."""
    if images.shape[1] == channels:
        return images
    if channels == 1:
        return (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    return images.expand(-1, channels, -1, -1)
