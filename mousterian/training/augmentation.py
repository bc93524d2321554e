"""Batched augmentation on the device: normalisation, random crop, flip, mixup and CutMix."""

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
    """Return (N, C, H, W) uint8 images as float32, scaled to [0, 1] and standardised."""
    return images.float().div_(255).sub_(mean).div_(std)


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Randomly crop each image of (N, C, H, W) after reflection padding by `padding` pixels.

    Reflection is limited by the image, so tiny images get less padding.
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
    """Return source pixels (N, size) int64 of a row shifted by (N, 1), reflected at the edge."""
    moved = shifts + torch.arange(size, device=shifts.device)
    return size - 1 - (size - 1 - moved.abs()).abs()


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip each image of (N, C, H, W) horizontally with probability one half."""
    flipped = torch.rand(len(images), generator=generator, device=generator.device) < 0.5
    return flip_where(images, flipped.to(images.device))


def flip_where(images: Tensor, flipped: Tensor) -> Tensor:
    """Flip the images of (N, C, H, W) horizontally where `flipped` (N,) bool is True."""
    return torch.where(flipped[:, None, None, None], images.flip(3), images)


Blend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@contextmanager
def drawn_from(generator: torch.Generator) -> Iterator[None]:
    """Seed torch's global CPU generator from `generator` within the block, and restore it afterwards."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def per_image(recipe: Recipe, size: tuple[int, int]) -> Callable[[Tensor], Tensor] | None:
    """Return the recipe's transform of one image (C, H, W) uint8 before crops and flips; None if none.

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
    """Return the recipe's mixup or CutMix of a batch; None if it has neither.

    It takes images (B, C, H, W) float and labels (B,) int64, and returns targets (B, classes) float32.
    """
    if not (recipe.mixup or recipe.cutmix):
        return None
    if not classes:
        raise InputError("mixup and CutMix need a mixture with class names")
    from torchvision.transforms import v2

    kinds: list[Any] = [(v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix)]
    chosen: Blend = v2.RandomChoice([kind(alpha=a, num_classes=classes) for kind, a in kinds if a])
    return chosen
