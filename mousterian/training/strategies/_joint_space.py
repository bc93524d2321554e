"""The joint space of images and texts, in which texts stay where they are and images learn to go."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.seeds import seed_for
from mousterian.training.strategies._heads import head_of, replaced, start_anew


class Aligned(nn.Module):
    """A network whose outputs are its images' cosines with frozen texts, one of each class.

    Args:
        network: from images to vectors (N, D); its last linear layer is the projection into the joint space.
        texts: (K, D) float32, of unit length.
        temperature: that cosines are divided by.
    """

    def __init__(self, network: nn.Module, texts: Tensor, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("texts", texts)
        self._temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W): a class's follows from its own text alone."""
        vectors = functional.normalize(self.network(images).float(), dim=1)
        logits: Tensor = vectors @ self.get_buffer("texts").T / self._temperature
        return logits


def aligned(
    network: nn.Module, classes: int, texts: Tensor, temperature: float, training_seed: int
) -> Aligned:
    """Return the network with its head replaced, in place, by a projection into the space of the texts.

    Args:
        network: a classifier that ends in a linear layer.
        classes: that it was built for.
        texts: (K, D) float32, of unit length.
        temperature: that cosines are divided by.
        training_seed: the projection is drawn from it.

    Raises:
        InputError: the network has no such layer.
    """
    head = head_of(network, classes)
    projection = nn.Linear(head.in_features, texts.shape[1])
    start_anew(projection, training_seed)
    device = head.weight.device
    return Aligned(replaced(network, head, projection.to(device)), texts.to(device), temperature)


def joint(texts: Tensor, dimensions: int, *, centred: bool) -> Tensor:
    """Return texts (K, T) in the joint space, (K, `dimensions`) float32 of unit length.

    The map is linear, the same for all trials, and never learns. Into as many dimensions as the texts have,
    or more, it keeps every cosine; into fewer it is a random projection.

    Args:
        texts: vectors of unit length.
        dimensions: of the joint space.
        centred: take the mean of all classes out first, so that only what sets them apart is left.
    """
    kept = texts - texts.mean(0) if centred else texts
    own = texts.shape[1]
    generator = torch.Generator().manual_seed(seed_for("joint space", own, dimensions))
    drawn = torch.randn(max(own, dimensions), min(own, dimensions), generator=generator, dtype=torch.float64)
    columns = torch.linalg.qr(drawn).Q
    map_to = columns.T if dimensions >= own else columns
    return functional.normalize(kept.double() @ map_to, dim=1).float()
