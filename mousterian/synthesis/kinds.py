"""What every generator is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.seeds import seed_for
from mousterian.training.memory import AdaptiveBatches


class Scores(NamedTuple):
    """What a filter says of N images.

    Attributes:
        keep: (N,) bool.
        score: (N,) float; the higher, the better kept.
    """

    keep: NDArray[np.bool_]
    score: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FilterContext:
    """What a filter may look at beside the images that it scores and the real ones.

    A pool that grows is scored piece by piece. So that a smaller pool stays the beginning of a larger one,
    an image's score must follow from itself, the images before it, and those of its own block.

    Attributes:
        device: torch device name.
        data_dir: folder of the datasets; None for the default.
        block: images of a block; the first of those that are scored begins one.
        earlier: gives the images of the pool before those that are scored; None if there are none.
        test: gives the dataset's test images. Only to keep copies of them out of training: nothing else may
            be chosen by them.
    """

    device: str
    data_dir: Path | None
    block: int
    earlier: Callable[[], ImageSet | None]
    test: Callable[[], ImageSet]


# Is told what goes on, how much of it is done, of how much, and a word more, e.g. the loss.
Progress = Callable[[str, int, int, str], None]


def silent(what: str, done: int, total: int, note: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class GeneratorContext:
    """Where and under which seed a generator works.

    Attributes:
        class_names: the classes to generate, in label order.
        shape: height, width and channels of one image.
        seed: seed of training and sampling.
        device: torch device name.
        folder: a private folder for weights; what is kept there is found again when the pool is extended.
        progress: is told how training goes.
        test: gives the dataset's test images, only so that copies of them can be left out; None if not known.
    """

    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    seed: int
    device: str
    folder: Path
    progress: Progress = silent
    test: Callable[[], ImageSet] | None = None


class Asked(NamedTuple):
    """What a sampler is asked for: labels, indices and seeds, each (N,) int64; see `Sampler.sample`."""

    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    seeds: NDArray[np.int64]


def asked(positions: NDArray[np.int64], classes: int, seed: int) -> Asked:
    """Return what a sampler is asked for at positions (N,) of a pool of this seed: classes take turns."""
    seeds = np.array([seed_for("image", seed, int(position)) for position in positions], dtype=np.int64)
    return Asked(positions % classes, positions // classes, seeds)


def portions() -> AdaptiveBatches:
    """Return what makes a sampler's images, fewer at once where memory runs out."""
    return AdaptiveBatches(
        "to generate one image at a time", hint="use another device, or a smaller generator"
    )


class Sampler(Protocol):
    """A generator ready to make images.

    It may also have:
        limit: how many images it has in the pool's order (image i is of class i mod K), if it cannot make as
            many as anybody wants.
        batch: how many images it wants to be asked for at a time; a pool that is cut off loses no more.
        prompts(labels, indices): the text that each image is made from, a list of N; kept beside the images.
    """

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return images (N, H, W, C) uint8.

        An image follows from its own label, index and seed; where memory runs out, fewer are asked for.

        Args:
            labels: (N,) class of each image.
            indices: (N,) position of each image within its class in the pool.
            seeds: (N,) seed of each image.
        """
        ...
