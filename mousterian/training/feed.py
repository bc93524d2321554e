"""Where batches come from: the order of a stream's images, their augmentation, one batch a step.

On CPU a batch is made when it is wanted. On an accelerator many steps' batches (a whole pass, if it
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
        batch_size: images a step; never more than there are, unless the stream repeats.
        weight: weight of this stream's mean loss in the sum over streams.
        targets: (N,) int64 or (N, D) float32, on the device; default: the labels of the mixture.
        loss: of outputs and targets, a scalar mean over the batch; it must depend on nothing that differs
            between trials of one cell. Default: cross-entropy with the recipe's label smoothing.
        through: what this stream's batches (float32, normalised) go through, default the trained model. It
            shares with the model what it shares, so norm statistics or parameters can differ by source.
        repeats: a batch holds `batch_size` images however few there are: some of them more than once.
    """

    mixture: Mixture
    batch_size: int
    weight: float = 1.0
    targets: Tensor | None = None
    loss: Loss | None = None
    through: nn.Module | None = None
    repeats: bool = False

    def __post_init__(self) -> None:
        if not len(self.mixture):
            raise InputError("a training stream has no images")
        if self.targets is not None and len(self.targets) != len(self.mixture):
            raise InputError(f"{len(self.targets)} targets for the {len(self.mixture)} images of a stream")

    @property
    def batch(self) -> int:
        """Images a step."""
        return self.batch_size if self.repeats else min(self.batch_size, len(self.mixture))


class Order:
    """Endless shuffled passes over `size` images, cut into batches of one size."""

    def __init__(self, size: int, batch: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._size, self._batch = size, batch
        self._queue = np.empty(0, dtype=np.int64)
        self._drawn = 0

    def next(self) -> tuple[Tensor, Tensor]:
        """Return the positions (B,) int64 of the next batch, and in which pass (0, 1, …) each is drawn."""
        while len(self._queue) < self._batch:
            self._queue = np.concatenate([self._queue, self._random.permutation(self._size)])
        indices, self._queue = self._queue[: self._batch], self._queue[self._batch :]
        passes = np.arange(self._drawn, self._drawn + self._batch) // self._size
        self._drawn += self._batch
        return torch.from_numpy(indices), torch.from_numpy(passes)


@dataclass(frozen=True)
class Preprocessing:
    """How images are shown to the model: statistics of S_base (1, C, 1, 1) and the recipe's augmentation."""

    mean: Tensor
    std: Tensor
    recipe: Recipe


class Feed:
    """The batches of one stream.

    Args:
        stream: images and targets.
        look: normalisation and augmentation.
        seed: a seed for each purpose ("order", "flip", "augmentation").
        generator: random numbers of the augmentation on CPU, shared by the feeds of a run.
    """

    def __init__(
        self, stream: Stream, look: Preprocessing, seed: Callable[[str], int], generator: torch.Generator
    ) -> None:
        self._mixture, self._look = stream.mixture, look
        self._targets = stream.mixture.labels if stream.targets is None else stream.targets
        self._device = stream.mixture.rows.device
        self._order = Order(len(stream.mixture), stream.batch, seed("order"))
        self._batch, self._seed, self._generator = stream.batch, seed("augmentation"), generator
        self._ahead = self._steps_ahead()
        self._block: Batch | None = None
        self._at = self._blocks = 0
        self._mirrored: Tensor | None = None
        height, width = stream.mixture.arrays[0].shape[1:3]
        self._per_image = per_image(look.recipe, (height, width))
        self._blend = blend(look.recipe, len(stream.mixture.class_names)) if stream.targets is None else None
        if look.recipe.flip == "alternating":
            first = torch.Generator().manual_seed(seed("flip"))
            self._mirrored = torch.randint(0, 2, (len(stream.mixture),), generator=first).to(self._device)

    def _steps_ahead(self) -> int:
        if self._device.type == "cpu":
            return 1
        bytes_a_step = 4 * self._batch * math.prod(self._mixture.arrays[0].shape[1:])
        a_pass = math.ceil(len(self._mixture) / self._batch)
        return max(1, min(a_pass, BLOCK_BYTES // bytes_a_step))

    def skip(self, steps: int) -> None:
        """Go on as if so many batches had been drawn; to be called before the first is."""
        blocks, self._at = divmod(steps, self._ahead)
        for _ in range(blocks * self._ahead):
            self._order.next()
        self._blocks = blocks
        if self._at:
            self._block = self._make()

    def next(self) -> Batch:
        """Return the next batch: images (B, C, H, W), normalised, and their targets."""
        if self._block is None or self._at == self._ahead:
            self._block, self._at = self._make(), 0
        images, targets = self._block
        own = slice(self._at * self._batch, (self._at + 1) * self._batch)
        self._at += 1
        return (images, targets) if self._ahead == 1 else (images[own], targets[own])

    def _make(self) -> Batch:
        drawn = [self._order.next() for _ in range(self._ahead)]
        positions = torch.cat([each[0] for each in drawn]).to(self._device)
        passes = torch.cat([each[1] for each in drawn]).to(self._device)
        generator = self._generator
        if self._device.type != "cpu":
            # A generator of the block's own: a resumed run makes the block that it was cut off in anew.
            generator = torch.Generator(self._device).manual_seed(seed_for("block", self._seed, self._blocks))
        self._blocks += 1
        images = self._augment(self._mixture.images(positions), positions, passes, generator)
        shown = normalise(images, self._look.mean, self._look.std)
        if self._device.type != "cpu":
            shown = shown.to(DTYPES[self._look.recipe.precision])
        return self._blended(shown, self._targets[positions], generator)

    def _blended(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> Batch:
        """Blend the images within each batch of a block, where the recipe says so."""
        if self._blend is None:
            return images, targets
        batches = zip(torch.split(images, self._batch), torch.split(targets, self._batch), strict=True)
        with drawn_from(generator):
            blended = [self._blend(*batch) for batch in batches]
        return torch.cat([each[0] for each in blended]), torch.cat([each[1] for each in blended])

    def _augment(
        self, images: Tensor, positions: Tensor, passes: Tensor, generator: torch.Generator
    ) -> Tensor:
        recipe = self._look.recipe
        if self._per_image is not None:
            with drawn_from(generator):
                images = torch.stack([self._per_image(image) for image in images])
        if recipe.crop and not recipe.resized_crop:
            images = random_crop(images, recipe.crop, generator)
        if self._mirrored is not None:
            return flip_where(images, (self._mirrored[positions] + passes) % 2 == 1)
        return random_flip(images, generator) if recipe.flip else images
