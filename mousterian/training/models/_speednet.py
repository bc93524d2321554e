"""The network of `speednet`: whitening, identity-initialised groups of convolutions, a scaled head."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_PATCH = 2
# Divisor of the logits, with which head and biases can share a learning rate.
_HEAD_DIVISOR = 72.0
_MOST_PATCHES = 2_000_000


def _norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with a learned shift only, and a high momentum for short training."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """3×3; the first `inputs` filters are initialised to the identity, the others at random."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(convolution.weight[:inputs])
    return convolution


class _Group(nn.Module):
    """Two convolutions, with 2×2 pooling after the first."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.first_norm = _convolution(inputs, outputs), _norm(outputs)
        self.second, self.second_norm = _convolution(outputs, outputs), _norm(outputs)

    def forward(self, features: Tensor) -> Tensor:
        features = functional.max_pool2d(self.first(features), 2)
        features = functional.gelu(self.first_norm(features))
        return functional.gelu(self.second_norm(self.second(features)))


class SpeedNet(nn.Module):
    """See `speednet.build`."""

    def __init__(
        self, classes: int, shape: tuple[int, int, int], widths: tuple[int, ...], whitening: float
    ) -> None:
        super().__init__()
        height, width, channels = shape
        patch = channels * _PATCH**2
        self._whitening = whitening
        self.whiten = nn.Conv2d(channels, 2 * patch, _PATCH)
        self.whiten.weight.requires_grad_(False)
        nn.init.zeros_(self.whiten.bias)  # type: ignore[arg-type]
        # Each group halves the side, which must remain at least one pixel.
        groups = max(1, min(len(widths), (min(height, width) - 1).bit_length() - 1))
        chosen = (2 * patch, *widths[:groups])
        self.groups = nn.Sequential(*(_Group(inputs, outputs) for inputs, outputs in pairwise(chosen)))
        self.head = nn.Linear(chosen[-1], classes, bias=False)
        with torch.no_grad():
            self.head.weight.mul_(_HEAD_DIVISOR / chosen[-1] / self.head.weight.std())

    @torch.no_grad()
    def initialise_from(self, images: Tensor) -> None:
        """Set the whitening layer to eigenvectors of the patches of normalised images (N, C, H, W) float32.

        Each is scaled to unit variance and used with both signs, because of the nonlinearity that follows.
        """
        height, width = images.shape[2] - 1, images.shape[3] - 1
        images = images[: max(1, _MOST_PATCHES // (height * width))].float().contiguous()
        patches = functional.unfold(images, _PATCH).transpose(1, 2).flatten(0, 1).double().cpu()
        variances, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (variances.clamp_min(0) + self._whitening).sqrt()).T.flip(0)
        filters = filters.reshape(len(filters), *self.whiten.weight.shape[1:])
        self.whiten.weight.copy_(torch.cat([filters, -filters]))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, C, H, W), normalised."""
        features = self.groups(functional.gelu(self.whiten(images)))
        logits: Tensor = self.head(features.amax((2, 3))) / _HEAD_DIVISOR
        return logits
