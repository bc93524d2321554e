"""The one training loop. Strategies differ in the streams they feed it, not in loops of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.errors import InputError
from mousterian.images import ImageSet
from mousterian.seeds import seed_for
from mousterian.training.augmentation import channel_statistics, normalise, random_crop, random_flip
from mousterian.training.recipes import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Task:
    """What a strategy is given beside the model.

    Attributes:
        mixture: base, real added and synthetic added images, in that order.
        n_base: how many of them are S_base.
        recipe: optimiser, schedule, length, augmentation.
        device: where to train.
        training_seed: seed of initialisation and data order.
    """

    mixture: ImageSet
    n_base: int
    recipe: Recipe
    device: torch.device
    training_seed: int


@dataclass(frozen=True)
class Stream:
    """A source of batches: images (N, C, H, W) uint8 and labels (N,) int64, both on the device.

    Attributes:
        batch_size: images a step, never more than N.
        weight: weight of this stream's mean loss in the sum over streams.
    """

    images: Tensor
    labels: Tensor
    batch_size: int
    weight: float = 1.0


@dataclass(frozen=True)
class Cost:
    """What a training run took."""

    steps: int
    images_seen: int
    seconds: float


class Normalised(nn.Module):
    """A classifier of uint8 images: channel statistics of S_base, then the network."""

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for images (N, C, H, W), uint8, or float32 already normalised."""
        if images.dtype == torch.uint8:
            images = normalise(images, self.get_buffer("mean"), self.get_buffer("std"))
        logits: Tensor = self.network(images)
        return logits


def to_device(images: ImageSet, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return images (N, C, H, W) uint8 and labels (N,) int64 as tensors on the device."""
    pixels = torch.from_numpy(np.ascontiguousarray(images.images.transpose(0, 3, 1, 2)))
    return pixels.to(device), torch.from_numpy(images.labels).to(device)


def prepare(network: nn.Module, task: Task) -> Normalised:
    """Return the network with the channel statistics of S_base in front of it, on the device.

    The statistics come from S_base, not from the mixture, so that trials that differ only in what is
    added start from the same function.
    """
    pixels, _ = to_device(task.mixture.take(np.arange(task.n_base)), task.device)
    return Normalised(network.to(task.device), *channel_statistics(pixels)).to(task.device)


def optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Build the recipe's optimiser over the parameters that learn."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = parameters[0].is_cuda
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=fused,
    )


class _Order:
    """Endless shuffled passes over `size` images, cut into batches of one size."""

    def __init__(self, size: int, batch: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._size, self._batch = size, batch
        self._queue = np.empty(0, dtype=np.int64)

    def next(self) -> Tensor:
        while len(self._queue) < self._batch:
            self._queue = np.concatenate([self._queue, self._random.permutation(self._size)])
        indices, self._queue = self._queue[: self._batch], self._queue[self._batch :]
        return torch.from_numpy(indices)


def train(
    model: Normalised,
    streams: Sequence[Stream],
    task: Task,
    *,
    steps: int | None = None,
    loss: Loss | None = None,
) -> Cost:
    """Train `model` in place on batches from every stream at each step.

    Args:
        model: classifier of uint8 images.
        streams: where batches come from; the step's loss is the weighted sum of their mean losses.
        task: recipe, device and seed.
        steps: optimiser steps; default: the recipe's, for the size of all streams together.
        loss: of logits and labels, a scalar; default: cross-entropy with the recipe's label smoothing.

    Raises:
        InputError: a stream is empty.
    """
    recipe = task.recipe
    if not streams or any(not len(stream.labels) for stream in streams):
        raise InputError("a training stream has no images")
    steps = steps or recipe.steps(sum(len(stream.labels) for stream in streams))
    orders = [
        _Order(len(s.labels), min(s.batch_size, len(s.labels)), seed_for("order", task.training_seed, i))
        for i, s in enumerate(streams)
    ]
    generator = torch.Generator().manual_seed(seed_for("augmentation", task.training_seed))
    measure = loss or (
        lambda logits, y: functional.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
    )
    update = optimiser(model, recipe)
    started = time.perf_counter()
    seen = 0
    total = torch.zeros((), device=task.device)
    model.train()
    for step in range(steps):
        for group in update.param_groups:
            group["lr"] = recipe.learning_rate_at(step, steps)
        total = torch.zeros((), device=task.device)
        for stream, order in zip(streams, orders, strict=True):
            images, labels = _batch(model, stream, order, recipe, generator)
            with torch.autocast(task.device.type, torch.bfloat16, enabled=task.device.type == "cuda"):
                total = total + stream.weight * measure(model(images), labels)
            seen += len(labels)
        update.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        update.step()
    model.eval()
    if not torch.isfinite(total):  # the first look at a value on the device; it waits for all steps
        raise InputError(
            f"training diverged: its loss is {total.item()} after {steps} steps",
            hint="use a lower learning_rate, or a warm-up",
        )
    return Cost(steps, seen, time.perf_counter() - started)


def _batch(
    model: Normalised, stream: Stream, order: _Order, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    index = order.next().to(stream.labels.device)
    images = stream.images[index]
    if recipe.crop:
        images = random_crop(images, recipe.crop, generator)
    if recipe.flip:
        images = random_flip(images, generator)
    return normalise(images, model.get_buffer("mean"), model.get_buffer("std")), stream.labels[index]
