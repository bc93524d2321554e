"""The network of `models/clip.py`."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.data.resizing import cropped, with_channels
from mousterian.training.encoders.clip import Clip


class ClipClassifier(nn.Module):
    """See `clip.build`.

    Attributes:
        statistics: 0 and 1, each (1, C, 1, 1): inputs are in [0, 1], to be resized before normalisation.
        head: linear, from CLIP's vectors to classes.
    """

    def __init__(self, loaded: Clip, classes: int, channels: int) -> None:
        super().__init__()
        visual = loaded.network.visual
        self.visual: nn.Module = copy.deepcopy(visual).requires_grad_(True)
        size = visual.image_size
        self._size: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        self.register_buffer("mean", torch.tensor(visual.image_mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(visual.image_std).reshape(1, 3, 1, 1))
        self.statistics = (torch.zeros(1, channels, 1, 1), torch.ones(1, channels, 1, 1))

        # A closure, so that copies of the network share CLIP's text encoder.
        def vectors(texts: Sequence[str]) -> Tensor:
            return loaded.scale * torch.from_numpy(loaded.texts(texts))

        self._vectors = vectors
        self.head = nn.Linear(vectors(["a photo"]).shape[1], classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @torch.no_grad()
    def start_from_texts(self, texts: Sequence[str]) -> None:
        """Set the head so that its outputs are CLIP's scores of the images with one text per class."""
        self.head.weight.copy_(self._vectors(texts))
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, C, H, W) in [0, 1]."""
        resized = cropped(with_channels(images, 3), *self._size)
        vectors = self.visual((resized - self.get_buffer("mean")) / self.get_buffer("std"))
        logits: Tensor = self.head(functional.normalize(vectors, dim=-1))
        return logits
