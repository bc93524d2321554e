"""What the modules of generators, prompts and filters have, what they are given and what they return.

Ours are the files of `generators/`, `prompts/` and `filters/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.plugins.kinds import WithMembers, WithStamp, plugin_kind
from mousterian.seeds import seed_for
from mousterian.training.memory import AdaptiveBatches


class Scores(NamedTuple):
    """What a filter returns for N images.

    Attributes:
        keep: (N,) bool.
        score: (N,) float64; higher is better.
    """

    keep: NDArray[np.bool_]
    score: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FilterContext:
    """What a filter is given beside the images that it scores and the real ones.

    A pool that grows is scored block by block. So that a smaller pool stays a prefix of a larger one, an
    image's score must depend on itself, the images before it, and those of its own block alone.

    Attributes:
        device: torch device name.
        data_dir: folder of the datasets; None for the default.
        block: images of a block; the first of those that are scored begins one.
        earlier: returns the images of the pool before those that are scored; None if there are none.
        test: returns the dataset's test images. Only to keep copies of them out of training: nothing else may
            be chosen by them.
    """

    device: str
    data_dir: Path | None
    block: int
    earlier: Callable[[], ImageSet | None]
    test: Callable[[], ImageSet]


# Called with what is going on, how much of it is done, of how much, and a note, e.g. the loss.
Progress = Callable[[str, int, int, str], None]


def no_progress(what: str, done: int, total: int, note: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class GeneratorContext:
    """What a generator is given beside S_base.

    Attributes:
        class_names: the classes to generate, in label order.
        shape: height, width and channels of one image.
        seed: seed of training and sampling.
        device: torch device name.
        folder: the pool's, for weights; what is saved there is found again when the pool is extended.
        progress: called as training goes on.
        test: returns the dataset's test images, only so that copies of them can be left out; None: not known.
    """

    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    seed: int
    device: str
    folder: Path
    progress: Progress = no_progress
    test: Callable[[], ImageSet] | None = None


class SamplerInputs(NamedTuple):
    """What a sampler makes images from: labels, indices and seeds, each (N,) int64; see `Sampler.sample`."""

    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    seeds: NDArray[np.int64]


def sampler_inputs(positions: NDArray[np.int64], classes: int, seed: int) -> SamplerInputs:
    """Return a sampler's inputs at positions (N,) of a pool of this seed: classes take turns."""
    seeds = np.array([seed_for("image", seed, int(position)) for position in positions], dtype=np.int64)
    return SamplerInputs(positions % classes, positions // classes, seeds)


def adaptive_batches() -> AdaptiveBatches:
    """Return what calls a sampler for fewer images at a time where memory runs out."""
    return AdaptiveBatches(
        "to generate one image at a time", hint="use another device, or a smaller generator"
    )


class Sampler(Protocol):
    """A generator ready to make images.

    It may also have:
        limit: how many images there are in the pool's order (image i is of class i mod K), if they are not
            without end.
        batch: how many images it makes at a time; a pool that is interrupted loses no more.
        prompts(labels, indices): the text that each image is made from, a list of N; saved beside the images.
        notes: what it left out of its source, or converted, as sentences; may grow while it samples.
    """

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return images (N, H, W, C) uint8.

        An image depends on its own label, index and seed alone, not on N: where memory runs out, it is
        called for fewer.

        Args:
            labels: (N,) class of each image.
            indices: (N,) position of each image within its class in the pool.
            seeds: (N,) seed of each image.
        """
        ...


class PretrainedGenerator(Protocol):
    """A generator that was trained elsewhere before it is fitted here."""

    @property
    def PRETRAINED(self) -> bool:
        """True: it is external, even where it is fitted on S_base."""


class TrainingSize(Protocol):
    """How long a generator trains by default."""

    @property
    def steps(self) -> int:
        """Training steps."""

    @property
    def batch_size(self) -> int:
        """Images a step."""


class GeneratorWithTrainingSize(Protocol):
    """A generator whose time a grid can estimate by a pilot run: it has the options steps and batch_size."""

    def size_for(self, side: int, preset: str, /) -> TrainingSize:
        """Return the training for images of this side (pixels) and this option `preset` ("" for none)."""
        ...


@plugin_kind("generators", optional=(WithStamp, WithMembers, PretrainedGenerator, GeneratorWithTrainingSize))
class GeneratorPlugin(Protocol):
    """A generator that is trained or adapted here."""

    def fit(self, real: ImageSet, context: GeneratorContext, /, *args: Any, **options: Any) -> Sampler:
        """Train on real images and return a sampler.

        What it saves in `context.folder` it finds there when the pool is extended, and need not train again.

        Args:
            real: S_base; with `trained_on = "upstream"` in the grid file, images outside it.
            context: classes, image size, seed, device, folder.
            options: the plug-in's own.

        Raises:
            InputError: it cannot be trained so, or weights are missing.
        """
        ...


@plugin_kind("generators", optional=(WithStamp, WithMembers))
class TrainedGeneratorPlugin(Protocol):
    """A generator that was trained elsewhere, and is external."""

    def load(self, context: GeneratorContext, /, *args: Any, **options: Any) -> Sampler:
        """Return a sampler; arguments and errors as for `fit`."""
        ...


@plugin_kind("prompts", optional=(WithMembers,))
class PromptsPlugin(Protocol):
    """A writer of prompts for text-to-image generators."""

    def write(
        self, class_names: Sequence[str], count: int, seed: int, /, *args: Any, **options: Any
    ) -> list[list[str]]:
        """Return prompts for each of the K classes: K lists, of `count` prompts or fewer, none empty.

        Args:
            class_names: in label order.
            count: prompts asked for each class.
            seed: of every random choice.
            options: the plug-in's own.

        Raises:
            InputError: they cannot be written, e.g. for want of a language model.
        """
        ...


@plugin_kind("filters", optional=(WithStamp, WithMembers))
class FilterPlugin(Protocol):
    """A choice among a pool's images."""

    def score(
        self, images: ImageSet, real: ImageSet, context: FilterContext, /, *args: Any, **options: Any
    ) -> Scores:
        """Return which of N images to keep, and a score of each.

        Args:
            images: of the pool, in its order.
            real: S_base, to compare with.
            context: device, and the images of the pool before these.
            options: the plug-in's own.

        Raises:
            InputError: they cannot be scored, e.g. for want of weights.
        """
        ...
