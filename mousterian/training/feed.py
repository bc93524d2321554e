"""Data loading: the order of a stream's images, their augmentation, one batch per step.

On CPU each batch is made on demand. On an accelerator the batches of many steps (a whole pass, if it
fits) are gathered, augmented and normalised at once, so that the loop only slices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mousterian.errors import InputError
from mousterian.seeds import seed_for
from mousterian.training.augmentation import (
    blend,
    drawn_from,
    flip_where,
    normalise,
    per_image,
    random_crop,
    random_flip,
)
from mousterian.training.mixture import Mixture
from mousterian.training.recipes import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor]

BLOCK_BYTES = 512 * 2**20
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class Stream:
    """A source of batches.

    Attributes:
        mixture: the images.
        batch_size: images per step; at most the size of the mixture, unless the stream repeats.
        weight: weight of this stream's mean loss in the sum over streams.
        targets: (N,) int64 or (N, D) float32, on the device; default: the labels of the mixture.
        loss: of outputs and targets, a scalar mean over the batch; it must not depend on anything that
            differs between trials of one cell. Default: cross-entropy with the recipe's label smoothing.
        module: applied to this stream's batches (float32, normalised); default: the trained model. It may
            share some of the model's parameters, so that norm statistics or parameters differ by source.
        repeats: a batch always has `batch_size` images, if need be with repeated ones.
    """

    mixture: Mixture
    batch_size: int
    weight: float = 1.0
    targets: Tensor | None = None
    loss: Loss | None = None
    module: nn.Module | None = None
    repeats: bool = False

    def __post_init__(self) -> None:
        if not len(self.mixture):
            raise InputError("a training stream has no images")
        if self.targets is not None and len(self.targets) != len(self.mixture):
            raise InputError(f"{len(self.targets)} targets for the {len(self.mixture)} images of a stream")

    @property
    def batch(self) -> int:
        """Images per step."""
        return self.batch_size if self.repeats else min(self.batch_size, len(self.mixture))


class Order:
    """Endless shuffled passes over `size` images, cut into batches of one size."""

    def __init__(self, size: int, batch: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._size, self._batch = size, batch
        self._queue = np.empty(0, dtype=np.int64)
        self._drawn = 0

    def next(self) -> tuple[Tensor, Tensor]:
        """Return the positions (B,) int64 of the next batch, and the pass (0, 1, …) of each."""
        while len(self._queue) < self._batch:
            self._queue = np.concatenate([self._queue, self._random.permutation(self._size)])
        indices, self._queue = self._queue[: self._batch], self._queue[self._batch :]
        passes = np.arange(self._drawn, self._drawn + self._batch) // self._size
        self._drawn += self._batch
        return torch.from_numpy(indices), torch.from_numpy(passes)


@dataclass(frozen=True)
class Preprocessing:
    """Normalisation by the statistics of S_base, (1, C, 1, 1), and the recipe's augmentation."""

    mean: Tensor
    std: Tensor
    recipe: Recipe


class Feed:
    """The batches of one stream.

    Args:
        stream: images and targets.
        preprocessing: normalisation and augmentation.
        seed: returns the seed for a purpose ("order", "flip", "augmentation").
        generator: of the augmentation on CPU, shared by the feeds of a run.
    """

    def __init__(
        self,
        stream: Stream,
        preprocessing: Preprocessing,
        seed: Callable[[str], int],
        generator: torch.Generator,
    ) -> None:
        self._mixture, self._preprocessing = stream.mixture, preprocessing
        self._targets = stream.mixture.labels if stream.targets is None else stream.targets
        self._device = stream.mixture.rows.device
        self._order = Order(len(stream.mixture), stream.batch, seed("order"))
        self._batch, self._seed, self._generator = stream.batch, seed("augmentation"), generator
        self._block_steps = self._steps_per_block()
        self._block: Batch | None = None
        self._position = self._blocks = 0
        self._flipped: Tensor | None = None
        height, width = stream.mixture.arrays[0].shape[1:3]
        self._per_image = per_image(preprocessing.recipe, (height, width))
        classes = len(stream.mixture.class_names)
        self._blend = blend(preprocessing.recipe, classes) if stream.targets is None else None
        if preprocessing.recipe.flip == "alternating":
            first = torch.Generator().manual_seed(seed("flip"))
            self._flipped = torch.randint(0, 2, (len(stream.mixture),), generator=first).to(self._device)

    def _steps_per_block(self) -> int:
        if self._device.type == "cpu":
            return 1
        step_bytes = 4 * self._batch * math.prod(self._mixture.arrays[0].shape[1:])
        pass_steps = math.ceil(len(self._mixture) / self._batch)
        return max(1, min(pass_steps, BLOCK_BYTES // step_bytes))

    def skip(self, steps: int) -> None:
        """Skip the batches of some steps; to be called before the first batch is drawn."""
        blocks, self._position = divmod(steps, self._block_steps)
        for _ in range(blocks * self._block_steps):
            self._order.next()
        self._blocks = blocks
        if self._position:
            self._block = self._make_block()

    def next(self) -> Batch:
        """Return the next batch: images (B, C, H, W), normalised, and their targets."""
        if self._block is None or self._position == self._block_steps:
            self._block, self._position = self._make_block(), 0
        images, targets = self._block
        own = slice(self._position * self._batch, (self._position + 1) * self._batch)
        self._position += 1
        return (images, targets) if self._block_steps == 1 else (images[own], targets[own])

    def _make_block(self) -> Batch:
        drawn = [self._order.next() for _ in range(self._block_steps)]
        positions = torch.cat([each[0] for each in drawn]).to(self._device)
        passes = torch.cat([each[1] for each in drawn]).to(self._device)
        generator = self._generator
        if self._device.type != "cpu":
            # A generator for each block, so that a resumed run can remake the block it was interrupted in.
            generator = torch.Generator(self._device).manual_seed(seed_for("block", self._seed, self._blocks))
        self._blocks += 1
        images = self._augment(self._mixture.images(positions), positions, passes, generator)
        inputs = normalise(images, self._preprocessing.mean, self._preprocessing.std)
        if self._device.type != "cpu":
            inputs = inputs.to(DTYPES[self._preprocessing.recipe.precision])
        return self._blended(inputs, self._targets[positions], generator)

    def _blended(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> Batch:
        """Apply mixup or CutMix within each batch of a block, if the recipe has them."""
        if self._blend is None:
            return images, targets
        batches = zip(torch.split(images, self._batch), torch.split(targets, self._batch), strict=True)
        with drawn_from(generator):
            blended = [self._blend(*batch) for batch in batches]
        return torch.cat([each[0] for each in blended]), torch.cat([each[1] for each in blended])

    def _augment(
        self, images: Tensor, positions: Tensor, passes: Tensor, generator: torch.Generator
    ) -> Tensor:
        recipe = self._preprocessing.recipe
        if self._per_image is not None:
            with drawn_from(generator):
                images = torch.stack([self._per_image(image) for image in images])
        if recipe.crop and not recipe.resized_crop:
            images = random_crop(images, recipe.crop, generator)
        if self._flipped is not None:
            return flip_where(images, (self._flipped[positions] + passes) % 2 == 1)
        return random_flip(images, generator) if recipe.flip else images
