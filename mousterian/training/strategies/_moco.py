"""Momentum contrast, version 2 (Chen et al. 2020): a network learns to know two views of one image again."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.seeds import seed_for
from mousterian.training.loop import Normalised
from mousterian.training.strategies._heads import head_of, replaced
from mousterian.training.strategies._views import Draw, view

DIMENSIONS = 128
_GROUPS = 8


class MomentumContrast(nn.Module):
    """What a stream of images goes through: its outputs are scores of which the first should be highest.

    One view of each image is the query; its score with the other view, the key, stands first, those with the
    keys of earlier images, the queue, after it. Keys come from a copy of the network that follows it by
    momentum and gets no gradient. Keys are encoded in shuffled groups, as on several devices, so that batch
    norm does not tell which key was in the batch with which query.

    Args:
        model: ends in the projection; trained in place.
        seed: of the views and the first queue.
        queue: keys that are kept.
        momentum: share of the key network that stays at each step.
        temperature: that scores are divided by.
    """

    def __init__(
        self, model: Normalised, seed: int, *, queue: int, momentum: float, temperature: float
    ) -> None:
        super().__init__()
        self.model = model
        self.follower = copy.deepcopy(model).requires_grad_(False)
        device = model.get_buffer("mean").device
        generator = torch.Generator().manual_seed(seed_for("queue", seed))
        first = torch.randn(queue, DIMENSIONS, generator=generator)
        self.register_buffer("queue", functional.normalize(first, dim=1).to(device))
        self._seed, self._momentum, self._temperature = seed, momentum, temperature
        self._step = self._place = 0

    def get_extra_state(self) -> list[int]:
        """Return which step comes next and where its keys go, for a checkpoint."""
        return [self._step, self._place]

    def set_extra_state(self, state: list[int]) -> None:
        """Go on from there."""
        self._step, self._place = state

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N, 1 + queue) of normalised images (N, C, H, W)."""
        generator = torch.Generator().manual_seed(seed_for("views", self._seed, self._step))
        draw = Draw(len(images), generator, images.device)
        queries = functional.normalize(self.model(self._view(images, draw)).float(), dim=1)
        with torch.no_grad():
            self._follow()
            keys = self._keys(self._view(images, draw), generator)
        earlier = self.get_buffer("queue").clone()
        own = (queries * keys).sum(1, keepdim=True)
        self._keep(keys)
        self._step += 1
        return torch.cat([own, queries @ earlier.T], dim=1) / self._temperature

    def _view(self, images: Tensor, draw: Draw) -> Tensor:
        mean, std = self.model.get_buffer("mean"), self.model.get_buffer("std")
        return (view(images.float() * std + mean, draw) - mean) / std

    def _follow(self) -> None:
        for slow, fast in zip(self.follower.parameters(), self.model.parameters(), strict=True):
            slow.lerp_(fast, 1 - self._momentum)

    def _keys(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the keys (N, DIMENSIONS) of unit length, encoded in shuffled groups."""
        order = torch.randperm(len(images), generator=generator).to(images.device)
        groups = min(_GROUPS, max(1, len(images) // 2))
        found = torch.cat([self.follower(part).float() for part in images[order].tensor_split(groups)])
        keys = torch.empty_like(found)
        keys[order] = functional.normalize(found, dim=1)
        return keys

    @torch.no_grad()
    def _keep(self, keys: Tensor) -> None:
        """Put keys in the place of the oldest."""
        queue = self.get_buffer("queue")
        keys = keys[: len(queue)]
        places = (self._place + torch.arange(len(keys), device=keys.device)) % len(queue)
        queue[places] = keys
        self._place = (self._place + len(keys)) % len(queue)


@contextmanager
def projecting(model: Normalised, classes: int, training_seed: int) -> Iterator[None]:
    """Within, the model ends in MoCo v2's projection of two layers in place of its head."""
    head = head_of(model.network, classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("projection", training_seed))
        wide = nn.Linear(head.in_features, head.in_features)
        projection = nn.Sequential(wide, nn.ReLU(), nn.Linear(head.in_features, DIMENSIONS))
    model.network = replaced(model.network, head, projection.to(head.weight.device))
    try:
        yield
    finally:
        model.network = replaced(model.network, projection, head)
