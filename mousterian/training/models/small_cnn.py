"""A small convolutional network for small images: trains in a second or two on one CPU core."""

from __future__ import annotations

from torch import nn


def _block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def build(classes: int, shape: tuple[int, int, int], *, width: int = 16) -> nn.Module:
    """Four 3×3 convolutions with batch norm, the later ones twice as wide, then average pooling.

    Args:
        classes: number of classes.
        shape: height, width and channels of one image.
        width: channels of the first convolution; the last has four times as many.
    """
    height, _, channels = shape
    stem = 2 if height > 16 else 1
    return nn.Sequential(
        *_block(channels, width, stem),
        *_block(width, 2 * width, 1 if height < 8 else 2),
        *_block(2 * width, 2 * width, 1),
        *_block(2 * width, 4 * width, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    )
