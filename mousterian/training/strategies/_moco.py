"""Momentum contrast (MoCo v2, Chen et al. 2020): a network learns to match two views of one image."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.seeds import seed_for
from mousterian.training.loop import Normalised
from mousterian.training.strategies._heads import head_of, replace_module
from mousterian.training.strategies._views import Draw, view

DIMENSIONS = 128
_GROUPS = 8


class MomentumContrast(nn.Module):
    """The module of a stream of images, whose outputs are contrastive logits with the positive first.

    One view of each image is the query, the other the key. The first logit is the query's with its own key,
    the others those with the keys of earlier images in the queue. Keys come from a momentum encoder (an
    exponential moving average of the network) without gradient. They are encoded in shuffled groups, as on
    several devices (shuffling BN), so that batch statistics do not leak which key belongs to which query.

    Args:
        model: ends in the projection; trained in place.
        seed: of the views and the initial queue.
        queue: its size, keys.
        momentum: of the momentum encoder.
        temperature: divisor of the logits.
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
        self._step = self._next_slot = 0

    def get_extra_state(self) -> list[int]:
        """Return the next step and its slot in the queue, for a checkpoint."""
        return [self._step, self._next_slot]

    def set_extra_state(self, state: list[int]) -> None:
        """Restore them."""
        self._step, self._next_slot = state

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 1 + queue) of normalised images (N, C, H, W)."""
        generator = torch.Generator().manual_seed(seed_for("views", self._seed, self._step))
        draw = Draw(len(images), generator, images.device)
        queries = functional.normalize(self.model(self._view(images, draw)).float(), dim=1)
        with torch.no_grad():
            self._update_follower()
            keys = self._keys(self._view(images, draw), generator)
        earlier = self.get_buffer("queue").clone()
        own = (queries * keys).sum(1, keepdim=True)
        self._enqueue(keys)
        self._step += 1
        return torch.cat([own, queries @ earlier.T], dim=1) / self._temperature

    def _view(self, images: Tensor, draw: Draw) -> Tensor:
        mean, std = self.model.get_buffer("mean"), self.model.get_buffer("std")
        return (view(images.float() * std + mean, draw) - mean) / std

    def _update_follower(self) -> None:
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
    def _enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys of the queue."""
        queue = self.get_buffer("queue")
        keys = keys[: len(queue)]
        slots = (self._next_slot + torch.arange(len(keys), device=keys.device)) % len(queue)
        queue[slots] = keys
        self._next_slot = (self._next_slot + len(keys)) % len(queue)


@contextmanager
def projecting(model: Normalised, classes: int, training_seed: int) -> Iterator[None]:
    """Within the block, replace the model's head by MoCo v2's projection of two layers."""
    head = head_of(model.network, classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("projection", training_seed))
        wide = nn.Linear(head.in_features, head.in_features)
        projection = nn.Sequential(wide, nn.ReLU(), nn.Linear(head.in_features, DIMENSIONS))
    model.network = replace_module(model.network, head, projection.to(head.weight.device))
    try:
        yield
    finally:
        model.network = replace_module(model.network, projection, head)
