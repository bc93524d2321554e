"""The baseline: a plain training loop in the style of torchvision's references, written for this benchmark.

A Dataset of tensors, transforms.v2 on one image at a time, a DataLoader with workers, eager steps whose loss
is read for logging, a learning rate schedule on the host. Model, optimiser, recipe and seeds are those of the
other contenders.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from mousterian.data.image_set import ImageSet
from mousterian.training.recipes import Recipe
from mousterian.training.update import autocast, optimiser


class Transformed(Dataset[tuple[Tensor, int]]):
    """Images (C, H, W) as tensors, transformed one at a time."""

    def __init__(self, images: ImageSet, transform: v2.Transform) -> None:
        self._images = torch.from_numpy(images.images.transpose(0, 3, 1, 2).copy())
        self._labels, self._transform = images.labels, transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(self._images[index]), int(self._labels[index])


def transforms(mixture: ImageSet, recipe: Recipe) -> tuple[v2.Transform, v2.Transform]:
    """Return the transforms of training and of test images."""
    values = mixture.images.astype("float32") / 255
    shown = [
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(values.mean((0, 1, 2)).tolist(), values.std((0, 1, 2)).tolist()),
    ]
    changes: list[v2.Transform] = []
    if recipe.crop:
        side = mixture.shape[0]
        changes.append(v2.RandomCrop(side, padding=min(recipe.crop, side - 1), padding_mode="reflect"))
    if recipe.flip:
        changes.append(v2.RandomHorizontalFlip())
    return v2.Compose([*changes, *shown]), v2.Compose(shown)


def train(
    network: nn.Module, mixture: ImageSet, recipe: Recipe, device: torch.device, seed: int, workers: int
) -> int:
    """Train in place; return how many images were seen."""
    torch.manual_seed(seed)
    batch = min(recipe.batch_size, len(mixture))
    loader = DataLoader(
        Transformed(mixture, transforms(mixture, recipe)[0]),
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )
    network.to(device).train()
    update = optimiser([p for p in network.parameters() if p.requires_grad], recipe, batch)
    steps, step = recipe.steps(len(mixture)), 0
    while step < steps:
        for images, labels in loader:
            for group in update.param_groups:
                group["lr"] = recipe.learning_rate_at(step, steps, group["peak"])
            with autocast(device, recipe.precision):
                logits = network(images.to(device, non_blocking=True))
            loss = functional.cross_entropy(
                logits.float(), labels.to(device, non_blocking=True), label_smoothing=recipe.label_smoothing
            )
            update.zero_grad()
            loss.backward()
            update.step()
            loss.item()
            step += 1
            if step == steps:
                break
    return steps * batch


def accuracy(
    network: nn.Module, mixture: ImageSet, test: ImageSet, recipe: Recipe, device: torch.device, workers: int
) -> float:
    """Return the share of test images that are classified correctly."""
    network.eval()
    loader = DataLoader(Transformed(test, transforms(mixture, recipe)[1]), 1000, num_workers=workers)
    right = 0
    with torch.inference_mode():
        for images, labels in loader:
            with autocast(device, recipe.precision):
                right += int((network(images.to(device)).argmax(1) == labels.to(device)).sum())
    return right / len(test)
