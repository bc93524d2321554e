"""What every quality measure is given beside the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.training.feature_spaces import Output, Spaces


@dataclass(frozen=True, eq=False)
class Points:
    """Images as points of a plane, for pictures like Figure 1 of the main paper.

    Attributes:
        at: (N, 2) float32.
        synthetic: (N,) bool.
        labels: (N,) int64.
    """

    at: NDArray[np.float32]
    synthetic: NDArray[np.bool_]
    labels: NDArray[np.int64]


def _forget(points: Points) -> None:
    """Take the points of a measure whose pictures nobody wants."""


@dataclass(frozen=True, eq=False)
class MeasureContext:
    """Where and under which seed a measure works.

    Attributes:
        spaces: feature spaces, and their outputs for sets that were already looked at.
        space: name of the space for a measure whose option `features` is empty.
        seed: of every random choice of the measure.
        seen: the real images that the generator was trained on, as far as they are known; None: not known.
        prompts: the text that each image was made from; empty if made from none.
        keep: takes points of a plane that should be kept beside the numbers.
    """

    spaces: Spaces = field(default_factory=Spaces)
    space: str = "pixels"
    seed: int = 0
    seen: ImageSet | None = None
    prompts: tuple[str, ...] = ()
    keep: Callable[[Points], None] = _forget

    @property
    def device(self) -> str:
        """Torch device name."""
        return self.spaces.device

    def outputs(self, images: ImageSet, features: str) -> Output:
        """Return what the space `features` (empty: the context's) gives for a set of images."""
        return self.spaces.outputs(images, features or self.space)

    def features(self, images: ImageSet, features: str) -> NDArray[np.float32]:
        """Return features (N, D) float32 of a set in the space `features` (empty: the context's)."""
        return self.outputs(images, features).features

    def probabilities(self, images: ImageSet, features: str) -> NDArray[np.float32]:
        """Return class probabilities (N, K) float32 of a set by the network of the space `features`.

        Raises:
            InputError: that space has no classes.
        """
        found = self.outputs(images, features).probabilities
        if found is None:
            raise InputError(
                f"the feature space {features or self.space!r} tells no classes apart",
                hint="name one that does: classifier:DATASET, timm:MODEL:PATH, or inception",
            )
        return found
