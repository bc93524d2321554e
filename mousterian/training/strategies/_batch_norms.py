"""Batch norm by source: a second set of norms for some images, or frozen norms."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """Return the batch norms of a module, including synchronised ones and timm's."""
    return [each for each in module.modules() if isinstance(each, _BatchNorm)]


def with_own_norms(model: nn.Module) -> nn.Module:
    """Return a copy of the model that shares all parameters and buffers except those of batch norms."""
    own = {id(each) for norm in batch_norms(model) for each in chain(norm.parameters(), norm.buffers())}
    tensors: Iterator[Tensor] = chain(model.parameters(), model.buffers())
    shared = {id(each): each for each in tensors if id(each) not in own}
    return copy.deepcopy(model, shared)


class FrozenNorms(nn.Module):
    """A model whose batch norms stay in evaluation mode during training."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def train(self, mode: bool = True) -> FrozenNorms:
        """Set everything except batch norms to training mode."""
        super().train(mode)
        for norm in batch_norms(self.model):
            norm.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the model's outputs."""
        outputs: Tensor = self.model(images)
        return outputs


@contextmanager
def frozen(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Leave parameters untrained within the block."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def frozen_norms(model: nn.Module, freeze: bool) -> Iterator[nn.Module | None]:
    """Freeze batch norms within the block; yield the module for streams, or None if not `freeze`."""
    if not freeze:
        yield None
        return
    with frozen([p for norm in batch_norms(model) for p in norm.parameters() if p.requires_grad]):
        yield FrozenNorms(model)
