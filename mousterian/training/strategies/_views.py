"""Random views of images for self-supervised pre-training: MoCo v2's augmentation, a whole batch at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from mousterian.data.resizing import LUMA, with_channels

# Chen et al. 2020b (MoCo v2): area of the crop, jitter of brightness, contrast and saturation, shift of hue,
# and probabilities of jitter, greyscale and blur.
_AREA, _RATIO = (0.2, 1.0), (3 / 4, 4 / 3)
_JITTER, _HUE = 0.4, 0.1
_P_JITTER, _P_GREY, _P_BLUR = 0.8, 0.2, 0.5
_SIGMA, _REFERENCE = (0.1, 2.0), 224  # of the blur in pixels at a height of 224; scaled with the height


class Draw:
    """Random numbers for a batch of images, one per image, from a generator on the host.

    Args:
        count: images.
        generator: on the CPU, so that a seed gives the same views on every device.
        device: of the numbers.
    """

    def __init__(self, count: int, generator: torch.Generator, device: torch.device) -> None:
        self._count, self._generator, self._device = count, generator, device

    def uniform(self, low: float, high: float) -> Tensor:
        """Return (N,) float32, uniform."""
        drawn = torch.rand(self._count, generator=self._generator).to(self._device)
        return low + (high - low) * drawn

    def bernoulli(self, probability: float) -> Tensor:
        """Return (N,) bool, each True with the probability."""
        return self.uniform(0, 1) < probability


def view(images: Tensor, draw: Draw) -> Tensor:
    """Return a random view of each of (N, C, H, W) images in [0, 1], of the same shape.

    Resized crops of at least a fifth of the area, flips, colour jitter, greyscale and blur. Differences from
    MoCo v2: hue is rotated in the YIQ plane instead of HSV, the order of colour jitter is fixed, and blur
    scales with the size of the image.
    """
    images = _crop(images, draw)
    changed = _colours(images, draw).clamp(0, 1)
    images = torch.where(_each(draw.bernoulli(_P_JITTER)), changed, images)
    images = torch.where(_each(draw.bernoulli(_P_GREY)), with_channels(images, 1).expand_as(images), images)
    blurred = _blur(images, draw.uniform(*_SIGMA) * images.shape[2] / _REFERENCE)
    return torch.where(_each(draw.bernoulli(_P_BLUR)), blurred, images)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _crop(images: Tensor, draw: Draw) -> Tensor:
    """Randomly crop and resize each image, and flip half of them."""
    side = draw.uniform(*_AREA).sqrt()
    ratio = draw.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])).exp().sqrt()
    width, height = (side * ratio).clamp(max=1), (side / ratio).clamp(max=1)
    right, down = draw.uniform(-1, 1) * (1 - width), draw.uniform(-1, 1) * (1 - height)
    flipped = torch.where(draw.bernoulli(0.5), -width, width)
    nothing = torch.zeros_like(width)
    affine = torch.stack(
        [torch.stack([flipped, nothing, right], 1), torch.stack([nothing, height, down], 1)], dim=1
    )
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _colours(images: Tensor, draw: Draw) -> Tensor:
    """Jitter brightness, contrast, saturation and hue."""
    brightness, contrast, saturation = (_each(draw.uniform(1 - _JITTER, 1 + _JITTER)) for _ in range(3))
    images = images * brightness
    mean = with_channels(images, 1).mean((2, 3), keepdim=True)
    images = mean + (images - mean) * contrast
    angle = draw.uniform(-_HUE, _HUE) * 2 * math.pi
    if images.shape[1] != len(LUMA):
        return images
    grey = with_channels(images, 1)
    to_yiq = images.new_tensor([LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
    rotation = torch.zeros(len(images), 3, 3, device=images.device)
    rotation[:, 0, 0] = 1
    rotation[:, 1, 1] = rotation[:, 2, 2] = angle.cos()
    rotation[:, 1, 2], rotation[:, 2, 1] = -angle.sin(), angle.sin()
    change = torch.linalg.inv(to_yiq) @ rotation @ to_yiq
    return torch.einsum("nij,njhw->nihw", change, grey + (images - grey) * saturation)


def _blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image by a Gaussian with its own sigma, (N,) pixels."""
    count, channels, height, width = images.shape
    radius = min(max(1, round(2 * _SIGMA[1] * height / _REFERENCE)), height - 1, width - 1)
    distance = torch.arange(-radius, radius + 1, device=images.device)
    weights = (-0.5 * (distance / sigma[:, None]).square()).exp()
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = functional.pad(images, [radius] * 4, mode="reflect").reshape(
        1, count * channels, height + 2 * radius, -1
    )
    flat = functional.conv2d(flat, weights[:, None, None, :], groups=count * channels)
    flat = functional.conv2d(flat, weights[:, None, :, None], groups=count * channels)
    return flat.reshape(images.shape)
