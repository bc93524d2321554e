"""The residual networks that He et al. (2016, section 4.2) built for CIFAR-10: resnet20 to resnet110."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.errors import InputError


def members() -> Iterable[str]:
    """Return the names of the family: resnet{6n+2}, as in the paper's Table 6."""
    return ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")


class _Block(nn.Module):
    """Two 3×3 convolutions; the shortcut has no parameters (the paper's option A)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.extra = outputs - inputs
        self.first = nn.Conv2d(inputs, outputs, 3, self.stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        inner = functional.relu(self.first_norm(self.first(features)))
        inner = self.second_norm(self.second(inner))
        if self.extra:
            subsampled = features[:, :, :: self.stride, :: self.stride]
            features = functional.pad(subsampled, (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
        return torch.relu(inner + features)


def build(classes: int, shape: tuple[int, int, int], *, name: str) -> nn.Module:
    """Build a CIFAR ResNet: a 3×3 stem, three stages of 16, 32 and 64 channels, average pooling.

    Args:
        classes: number of classes.
        shape: height, width and channels of one image.
        name: resnet20, resnet32, resnet44, resnet56 or resnet110; the number is the depth 6n + 2.
    """
    blocks, rest = divmod(int(name.removeprefix("resnet")) - 2, 6)
    if rest or name not in members():
        raise InputError(f"no CIFAR ResNet is called {name!r}", hint=f"there are {', '.join(members())}")
    widths = [16] * (blocks + 1) + [32] * blocks + [64] * blocks
    stages = [_Block(inputs, outputs) for inputs, outputs in pairwise(widths)]
    stem = [nn.Conv2d(shape[2], 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    network = nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(
                module.weight, std=math.sqrt(2 / (module.weight[0, 0].numel() * module.out_channels))
            )
    return network
