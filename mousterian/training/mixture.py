"""Mixtures on the device: index tensors over image arrays shared by all trials of a process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError

_RESIDENT: WeakKeyDictionary[ImageSet, dict[str, Tensor]] = WeakKeyDictionary()


def resident(images: ImageSet, device: torch.device) -> Tensor:
    """Return the images as (N, H, W, C) uint8 on the device; copied there once in the set's lifetime.

    On CPU the tensor shares the set's memory.
    """
    cached = _RESIDENT.setdefault(images, {})
    if str(device) not in cached:
        cached[str(device)] = torch.from_numpy(np.ascontiguousarray(images.images)).to(device)
    return cached[str(device)]


def channels_first(images: Tensor) -> Tensor:
    """Return (N, H, W, C) as (N, C, H, W): contiguous on CPU, elsewhere a view (channels_last)."""
    images = images.permute(0, 3, 1, 2)
    return images.contiguous() if images.device.type == "cpu" else images


@dataclass(frozen=True, eq=False)
class Mixture:
    """The training images of one trial, by index; the images themselves are never copied.

    Attributes:
        arrays: each (N_k, H, W, C) uint8, on the device; of one image shape.
        rows: (N,) int64, on the device: indices into the concatenation of the arrays.
        labels: (N,) int64, on the device.
        synthetic: (N,) bool, on the device, True where a generator made the image.
        class_names: one for each class, in label order.
    """

    arrays: tuple[Tensor, ...]
    rows: Tensor
    labels: Tensor
    synthetic: Tensor
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, images: ImageSet, device: torch.device, indices: np.ndarray | None = None) -> Mixture:
        """Return the images at `indices` (N,) int64 of a set, by default all of them in order."""
        chosen = np.arange(len(images), dtype=np.int64) if indices is None else indices
        parts = (chosen, images.labels[chosen], images.synthetic[chosen])
        rows, labels, synthetic = (torch.from_numpy(part).to(device) for part in parts)
        return cls((resident(images, device),), rows, labels, synthetic, images.class_names)

    def __len__(self) -> int:
        return len(self.rows)

    def __add__(self, other: Mixture) -> Mixture:
        """Return the images of both, in order."""
        if self.arrays[0].shape[1:] != other.arrays[0].shape[1:]:
            shapes = [tuple(each.arrays[0].shape[1:]) for each in (self, other)]
            raise InputError(f"cannot mix images of {shapes[0]} with images of {shapes[1]}")
        rows = other.rows + sum(map(len, self.arrays))
        return Mixture(
            self.arrays + other.arrays,
            torch.cat([self.rows, rows]),
            torch.cat([self.labels, other.labels]),
            torch.cat([self.synthetic, other.synthetic]),
            self.class_names,
        )

    def take(self, positions: Tensor) -> Mixture:
        """Return the images at `positions` (M,) int64 or where `positions` (N,) bool is True."""
        parts = (self.rows[positions], self.labels[positions], self.synthetic[positions])
        return replace(self, rows=parts[0], labels=parts[1], synthetic=parts[2])

    def images(self, positions: Tensor) -> Tensor:
        """Return the images at `positions` (M,) int64 on the device: (M, C, H, W) uint8.

        Every array is indexed for every image and the others' images are masked, so that the host need not
        know which image is in which array.
        """
        rows = self.rows[positions]
        found = self.arrays[0][rows.clamp(max=len(self.arrays[0]) - 1)]
        start = len(self.arrays[0])
        for array in self.arrays[1:]:
            own = array[(rows - start).clamp(0, len(array) - 1)]
            found = torch.where((rows >= start)[:, None, None, None], own, found)
            start += len(array)
        return channels_first(found)
