"""Augmentation in batch, on the device: normalise, random crop, random flip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mousterian.errors import InputError
from mousterian.training.recipes import Recipe


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
    shifts = torch.randint(
        0, 2 * padding + 1, (2, count, 1), generator=generator, device=generator.device
    ).to(images.device)
    rows = _reflected(shifts[0] - padding, height)
    columns = _reflected(shifts[1] - padding, width)
    index = torch.arange(count, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _reflected(shifts: Tensor, size: int) -> Tensor:
    """Return the pixels (N, size) int64 that lie under a row moved by shifts (N, 1), the edge reflected."""
    moved = shifts + torch.arange(size, device=shifts.device)
    return size - 1 - (size - 1 - moved.abs()).abs()


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image of (N, C, H, W) left to right with probability one half."""
    flipped = torch.rand(len(images), generator=generator, device=generator.device) < 0.5
    return flip_where(images, flipped.to(images.device))


def flip_where(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirror those of (N, C, H, W) images left to right where `flipped` (N,) bool is True."""
    return torch.where(flipped[:, None, None, None], images.flip(3), images)


Blend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@contextmanager
def drawn_from(generator: torch.Generator) -> Iterator[None]:
    """Within, torch's global generator on CPU follows from `generator`, and is afterwards as it was."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def per_image(recipe: Recipe, size: tuple[int, int]) -> Callable[[Tensor], Tensor] | None:
    """Return what the recipe does to one image (C, H, W) uint8 before crops and flips; None if nothing.

    Args:
        recipe: its resized_crop and rand_augment.
        size: height and width of the images.
    """
    if not (recipe.resized_crop or recipe.rand_augment):
        return None
    from torchvision.transforms import v2

    steps: list[Any] = []
    if recipe.resized_crop:
        steps.append(v2.RandomResizedCrop(size, scale=(recipe.resized_crop, 1.0), antialias=True))
    if recipe.rand_augment:
        steps.append(v2.RandAugment(magnitude=recipe.rand_augment))
    chain: Callable[[Tensor], Tensor] = v2.Compose(steps)
    return chain


def blend(recipe: Recipe, classes: int) -> Blend | None:
    """Return what blends the images of a batch and their labels; None if the recipe does not.

    It takes images (B, C, H, W) float and labels (B,) int64, and gives the targets as (B, classes) float32.
    """
    if not (recipe.mixup or recipe.cutmix):
        return None
    if not classes:
        raise InputError("mixup and CutMix need a mixture that knows its classes")
    from torchvision.transforms import v2

    kinds: list[Any] = [(v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix)]
    chosen: Blend = v2.RandomChoice([kind(alpha=a, num_classes=classes) for kind, a in kinds if a])
    return chosen
