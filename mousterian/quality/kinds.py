"""What a quality measure's module has, and what it is given; ours are the files of `measures/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.plugins.kinds import plugin_kind
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


def _discard(points: Points) -> None:
    """Save no points."""


@dataclass(frozen=True, eq=False)
class MeasureContext:
    """What a measure is given beside the images.

    Attributes:
        spaces: feature spaces, with their outputs for sets that were already passed through them.
        space: name of the space for a measure whose option `features` is empty.
        seed: of every random choice of the measure.
        seen: the real images that the generator was trained on; None where they are not known.
        prompts: the text that each image was made from; empty if made from none.
        keep: saves points of a plane beside the numbers.
    """

    spaces: Spaces = field(default_factory=Spaces)
    space: str = "pixels"
    seed: int = 0
    seen: ImageSet | None = None
    prompts: tuple[str, ...] = ()
    keep: Callable[[Points], None] = _discard

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
                f"the feature space {features or self.space!r} has no classes",
                hint="name one that has: classifier:DATASET, timm:MODEL:PATH, or inception",
            )
        return found


@plugin_kind("quality", singular="quality measure", folder="measures")
class MeasurePlugin(Protocol):
    """A measure of the quality of a pool."""

    def measure(
        self, pool: ImageSet, real: ImageSet, test: ImageSet, context: MeasureContext, /,
        *args: Any, **options: Any,
    ) -> Mapping[str, float]:  # fmt: skip
        """Return named numbers of a pool.

        Args:
            pool: synthetic images, N of them; those of one pool are compared at one N.
            real: the dataset's training images.
            test: its test images, to measure against and never to choose by.
            context: feature spaces, seed, prompts.
            options: the plug-in's own. One called `features` names a feature space; empty: the pool's.

        Returns:
            Quantity -> value; each is a row of the store's quality table.

        Raises:
            InputError: it cannot be measured, e.g. on too few images.
        """
        ...
