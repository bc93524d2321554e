"""The joint space of images and texts: frozen text embeddings, and image embeddings trained to match them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.seeds import seed_for
from mousterian.training.strategies._heads import head_of, reinitialise, replace_module


class Aligned(nn.Module):
    """A network whose logits are cosines of images with frozen texts, one per class, over a temperature.

    Args:
        network: from images to vectors (N, D); its last linear layer is the projection into the joint space.
        texts: (K, D) float32, of unit length.
        temperature: divisor of the cosines.
    """

    def __init__(self, network: nn.Module, texts: Tensor, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("texts", texts)
        self._temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W); each depends only on its own class's text."""
        vectors = functional.normalize(self.network(images).float(), dim=1)
        logits: Tensor = vectors @ self.get_buffer("texts").T / self._temperature
        return logits


def aligned(
    network: nn.Module, classes: int, texts: Tensor, temperature: float, training_seed: int
) -> Aligned:
    """Return the network with its head replaced, in place, by a projection into the space of the texts.

    Args:
        network: a classifier that ends in a linear layer.
        classes: number of its classes.
        texts: (K, D) float32, of unit length.
        temperature: divisor of the cosines.
        training_seed: seed of the projection.

    Raises:
        InputError: the network has no such layer.
    """
    head = head_of(network, classes)
    projection = nn.Linear(head.in_features, texts.shape[1])
    reinitialise(projection, training_seed)
    device = head.weight.device
    return Aligned(replace_module(network, head, projection.to(device)), texts.to(device), temperature)


def joint(texts: Tensor, dimensions: int, *, centred: bool) -> Tensor:
    """Return texts (K, T) in the joint space, (K, `dimensions`) float32 of unit length.

    The map is linear, frozen, and the same for all trials. If the joint space has at least as many dimensions
    as the texts, it preserves every cosine; otherwise it is a random projection.

    Args:
        texts: vectors of unit length.
        dimensions: of the joint space.
        centred: subtract the mean over classes first, so that only their differences remain.
    """
    vectors = texts - texts.mean(0) if centred else texts
    own = texts.shape[1]
    generator = torch.Generator().manual_seed(seed_for("joint space", own, dimensions))
    drawn = torch.randn(max(own, dimensions), min(own, dimensions), generator=generator, dtype=torch.float64)
    columns = torch.linalg.qr(drawn).Q
    projection = columns.T if dimensions >= own else columns
    return functional.normalize(vectors.double() @ projection, dim=1).float()
