"""Non-leaking augmentation: the network is conditioned on the transformations of each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# The conditioning (Karras et al. 2022, F.2): flips in x and in y, scale, rotation (2), stretch along an axis
# (2), translation (2). All 0: the original image, which is what is sampled.
CONDITIONS = 9
# Standard deviations: of the factor's binary logarithm, and of the translation as a fraction of the side.
SCALE, SHIFT = 0.2, 0.125


def augmented(images: Tensor, probability: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return transformed images and their conditioning.

    Half of the images are flipped horizontally; vertical flips, scaling, rotation, stretching along an axis
    and translation each have this probability (Karras et al. 2022, F.2, who use 0.12 for CIFAR-10).

    Args:
        images: (B, C, H, W) float32.
        probability: of each transformation except the horizontal flip.
        random: a CPU generator.

    Returns:
        Images (B, C, H, W) and conditions (B, CONDITIONS) float32, on the images' device.
    """
    count = len(images)
    active = (torch.rand(count, 6, generator=random) < torch.tensor([0.5, *[probability] * 5])).float()
    sizes = torch.randn(count, 4, generator=random)  # scale, stretch, translation in x and in y
    angles = (torch.rand(count, 2, generator=random) * 2 - 1) * math.pi  # of rotation and stretching axis
    scale, stretch = sizes[:, 0] * active[:, 2], sizes[:, 1] * active[:, 4]
    rotation, shift = angles[:, 0] * active[:, 3], sizes[:, 2:] * active[:, 5:]
    conditions = [active[:, :2], scale[:, None], rotation.cos()[:, None] - 1, rotation.sin()[:, None]]
    conditions += [(stretch * angles[:, 1].cos())[:, None], (stretch * angles[:, 1].sin())[:, None], shift]
    # grid_sample takes the source of each pixel: the inverse of each transformation, in turn.
    flip = torch.diag_embed(1 - 2 * active[:, :2])
    axis = _rotation(angles[:, 1])
    factors = torch.stack([SCALE * stretch, -SCALE * stretch], 1).exp2()
    stretched = axis @ torch.diag_embed(factors) @ axis.mT
    linear = flip @ stretched @ _rotation(rotation) * (-SCALE * scale).exp2()[:, None, None]
    moved = torch.cat([linear, 2 * SHIFT * shift[:, :, None]], dim=2).to(images.device)
    grid = functional.affine_grid(moved, list(images.shape), align_corners=False)
    result = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    return result, torch.cat(conditions, dim=1).to(images.device)


def _rotation(angle: Tensor) -> Tensor:
    """Return rotations of the plane (B, 2, 2) by angles (B,) in radians."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
