"""Augmentation that does not leak into the samples: the network is told what was done to each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# What the network is told (Karras et al. 2022, F.2): flipped in x and in y, scale, rotation (two numbers),
# stretch along an axis (two), shift (two). All 0: the image as it is, which is what is sampled.
CONDITIONS = 9
# Standard deviations: of the factor's binary logarithm, and of the shift in sides of the image.
SCALE, SHIFT = 0.2, 0.125


def augmented(images: Tensor, probability: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return transformed images and what was done to each.

    Half of the images are mirrored; upside down, scaled, turned, stretched along an axis and shifted is each
    with this probability (Karras et al. 2022, F.2, who use 0.12 for CIFAR-10).

    Args:
        images: (B, C, H, W) float32.
        probability: of each transformation but the mirror image.
        random: a CPU generator.

    Returns:
        Images (B, C, H, W) and conditions (B, CONDITIONS) float32, on the images' device.
    """
    count = len(images)
    on = (torch.rand(count, 6, generator=random) < torch.tensor([0.5, *[probability] * 5])).float()
    sizes = torch.randn(count, 4, generator=random)  # scale, stretch, shift in x and in y
    angles = (torch.rand(count, 2, generator=random) * 2 - 1) * math.pi  # of the turn, of the stretch's axis
    scale, stretch = sizes[:, 0] * on[:, 2], sizes[:, 1] * on[:, 4]
    turn, shift = angles[:, 0] * on[:, 3], sizes[:, 2:] * on[:, 5:]
    told = [on[:, :2], scale[:, None], turn.cos()[:, None] - 1, turn.sin()[:, None]]
    told += [(stretch * angles[:, 1].cos())[:, None], (stretch * angles[:, 1].sin())[:, None], shift]
    # grid_sample wants to know from where each pixel comes: the inverse of each transformation, in turn.
    mirror = torch.diag_embed(1 - 2 * on[:, :2])
    axis = _rotation(angles[:, 1])
    factors = torch.stack([SCALE * stretch, -SCALE * stretch], 1).exp2()
    stretched = axis @ torch.diag_embed(factors) @ axis.mT
    linear = mirror @ stretched @ _rotation(turn) * (-SCALE * scale).exp2()[:, None, None]
    moved = torch.cat([linear, 2 * SHIFT * shift[:, :, None]], dim=2).to(images.device)
    grid = functional.affine_grid(moved, list(images.shape), align_corners=False)
    result = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    return result, torch.cat(told, dim=1).to(images.device)


def _rotation(angle: Tensor) -> Tensor:
    """Return rotations of the plane (B, 2, 2) by angles (B,) in radians."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
