"""Augmentation in batch, on the device: normalise, random crop, random flip."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of (N, C, H, W) uint8 images, each (1, C, 1, 1)."""
    values = images.float().div(255)
    mean = values.mean(dim=(0, 2, 3), keepdim=True)
    return mean, values.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-3)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return (N, C, H, W) uint8 images as float32 with the given mean taken out and deviation 1."""
    return images.float().div_(255).sub_(mean).div_(std)


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shift each image of (N, C, H, W) by up to `padding` pixels, the edge reflected.

    Reflection is limited by the image, so tiny images take less padding than asked.
    """
    count, _, height, width = images.shape
    padding = min(padding, height - 1, width - 1)
    if not padding:
        return images
    padded = functional.pad(images, (padding,) * 4, mode="reflect")
    shifts = torch.randint(
        0, 2 * padding + 1, (2, count, 1), generator=generator, device=generator.device
    ).to(images.device)
    rows = shifts[0] + torch.arange(height, device=images.device)
    columns = shifts[1] + torch.arange(width, device=images.device)
    index = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image of (N, C, H, W) left to right with probability one half."""
    flipped = torch.rand(len(images), generator=generator, device=generator.device) < 0.5
    return flip_where(images, flipped.to(images.device))


def flip_where(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirror those of (N, C, H, W) images left to right where `flipped` (N,) bool is True."""
    return torch.where(flipped[:, None, None, None], images.flip(3), images)
