"""A convolutional network that trains in seconds, after airbench94 (Jordan 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mousterian.errors import InputError

if TYPE_CHECKING:
    from torch import nn


_SMALLEST = 3


def build(
    classes: int,
    shape: tuple[int, int, int],
    *,
    widths: tuple[int, ...] = (64, 256, 256),
    whitening: float = 5e-4,
) -> nn.Module:
    """Frozen whitening of 2×2 patches of S_base, groups of two 3×3 convolutions, one linear layer.

    Designed for the recipe `speedrun`; the others work too.

    Args:
        classes: number of classes.
        shape: height, width and channels of one image.
        widths: channels of each group of two convolutions; a group halves the side, so small images get
            fewer groups.
        whitening: regularisation added to the variances of the patches in the whitening.
    """
    from mousterian.training.models._speednet import SpeedNet

    if min(shape[:2]) < _SMALLEST:
        raise InputError(f"speednet takes images of at least {_SMALLEST} pixels a side, not {shape[:2]}")
    return SpeedNet(classes, shape, widths, whitening)
