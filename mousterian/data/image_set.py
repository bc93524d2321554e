"""ImageSet: uint8 images with labels, class names, and per image whether it is real or synthetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mousterian.errors import InputError


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A set of labelled images.

    Attributes:
        images: (N, H, W, C) uint8, C = 1 or 3.
        labels: (N,) int64, indices into `class_names`.
        class_names: one name for each class, in label order.
        synthetic: (N,) bool, True where a generator made the image.
        notes: what was left out of its source, or converted, as sentences. Subsets have none.
        groups: (N,) what each image is of, such as a patient, as numbers or text; None where images are
            independent. Subsets have none.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    synthetic: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    notes: tuple[str, ...] = ()
    groups: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", np.asarray(self.labels, dtype=np.int64))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if self.synthetic.shape != self.labels.shape:
            if self.synthetic.size:
                raise InputError(f"{self.synthetic.size} real/synthetic flags for {len(self.labels)} images")
            object.__setattr__(self, "synthetic", np.zeros(len(self.labels), dtype=bool))
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] not in {1, 3}:
            raise InputError(
                f"images must be uint8 (N, H, W, 1 or 3), not {self.images.dtype} {self.images.shape}"
            )
        if len(self.images) != len(self.labels):
            raise InputError(f"{len(self.images)} images but {len(self.labels)} labels")
        if self.groups is not None and self.groups.shape != self.labels.shape:
            raise InputError(f"groups of shape {self.groups.shape} for {len(self.labels)} images")
        if np.any((self.labels < 0) | (self.labels >= len(self.class_names))):
            raise InputError(
                f"labels run from {self.labels.min()} to {self.labels.max()}"
                f" but there are {len(self.class_names)} class names"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def take(self, indices: ArrayLike) -> ImageSet:
        """Return the images at `indices` (N,) int, in that order."""
        rows = np.asarray(indices, dtype=np.int64)
        return ImageSet(self.images[rows], self.labels[rows], self.class_names, self.synthetic[rows])


def concatenate(sets: Sequence[ImageSet]) -> ImageSet:
    """Join sets of the same classes and image shape into one, in order."""
    first = sets[0]
    for other in sets[1:]:
        if other.class_names != first.class_names:
            raise InputError(f"cannot mix classes {first.class_names} with {other.class_names}")
        if other.shape != first.shape:
            raise InputError(
                f"cannot mix images of {first.shape} with images of {other.shape} (height, width, channels)"
            )
    return ImageSet(
        np.concatenate([part.images for part in sets]),
        np.concatenate([part.labels for part in sets]),
        first.class_names,
        np.concatenate([part.synthetic for part in sets]),
    )


@dataclass(frozen=True, eq=False)
class TrialImages:
    """The images of one trial, none of them copied.

    Attributes:
        train, test: the dataset's.
        real: (n_base + n_real_plus,) int64, indices of S_base and of the real additions in `train`.
        synthetic: a pool's images, of which the first `n_syn_plus` are added; None without a pool.
        n_base: size of S_base, the first of `real`.
        data_dir: directory of other datasets, for evaluations on them; None for the default.
        unseen: names of the classes that the grid file leaves out of `real`; none by default.
    """

    train: ImageSet
    test: ImageSet
    real: NDArray[np.int64]
    synthetic: ImageSet | None
    n_syn_plus: int
    n_base: int
    data_dir: Path | None = None
    unseen: tuple[str, ...] = ()
