"""The residual networks that He et al. (2016, section 4.2) built for CIFAR-10: resnet20 to resnet110."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from mousterian.errors import InputError

if TYPE_CHECKING:
    from torch import nn


def members() -> Iterable[str]:
    """Return the names of the family: resnet{6n+2}, as in the paper's Table 6."""
    return ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")


def build(classes: int, shape: tuple[int, int, int], *, name: str) -> nn.Module:
    """Build a CIFAR ResNet: a 3×3 stem, three stages of 16, 32 and 64 channels, average pooling.

    Args:
        classes: number of classes.
        shape: height, width and channels of one image.
        name: resnet20, resnet32, resnet44, resnet56 or resnet110; the number is the depth 6n + 2.
    """
    from torch import nn

    from mousterian.training.models._residual import Block

    blocks, rest = divmod(int(name.removeprefix("resnet")) - 2, 6)
    if rest or name not in members():
        raise InputError(f"no CIFAR ResNet is called {name!r}", hint=f"choose one of {', '.join(members())}")
    widths = [16] * (blocks + 1) + [32] * blocks + [64] * blocks
    stages = [Block(inputs, outputs) for inputs, outputs in pairwise(widths)]
    stem = [nn.Conv2d(shape[2], 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    network = nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(
                module.weight, std=math.sqrt(2 / (module.weight[0, 0].numel() * module.out_channels))
            )
    return network
