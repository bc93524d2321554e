"""What every generator is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Context:
    """Where and under which seed a generator works.

    Attributes:
        class_names: the classes to generate, in label order.
        shape: height, width and channels of one image.
        seed: seed of training and sampling.
        device: torch device name.
        folder: a private folder for weights; what is kept there is found again when the pool is extended.
    """

    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    seed: int
    device: str
    folder: Path


class Sampler(Protocol):
    """A generator ready to make images.

    One that cannot make as many as anybody wants also has an attribute `limit`: how many images it has in
    the pool's order (image i is of class i mod K).
    """

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return images (N, H, W, C) uint8.

        Args:
            labels: (N,) class of each image.
            indices: (N,) position of each image within its class in the pool.
            seeds: (N,) seed of each image.
        """
        ...
