"""Augmentation by torchvision: RandAugment, resized crops, mixup, CutMix, drawn from our generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mousterian.errors import InputError
from mousterian.training.recipes import Recipe

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
