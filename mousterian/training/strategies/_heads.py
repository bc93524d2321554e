"""The classifier's last layer: finding, replacing and reinitialising it."""

from __future__ import annotations

import math

import torch
from torch import nn

from mousterian.errors import InputError
from mousterian.seeds import seed_for


def head_of(network: nn.Module, classes: int) -> nn.Linear:
    """Return the last linear layer, with one output per class.

    Raises:
        InputError: there is none.
    """
    linear = [each for each in network.modules() if isinstance(each, nn.Linear)]
    if not linear or linear[-1].out_features != classes:
        raise InputError(
            f"no linear layer with {classes} outputs ends this model, so it has no head to replace",
            hint="choose a model that ends in torch.nn.Linear",
        )
    return linear[-1]


def replace_module(network: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """Return the network with one of its modules, or itself, replaced by another.

    Args:
        network: changed in place, unless it is itself replaced.
        old: one of its modules.
        new: the replacement, used as it is, on its device.
    """
    name = next(name for name, module in network.named_modules() if module is old)
    if not name:
        return new
    network.set_submodule(name, new)
    return network


@torch.no_grad()
def reinitialise(head: nn.Linear, training_seed: int) -> None:
    """Redraw a head's weights from torch's default distribution of linear layers, by the trial's seed."""
    generator = torch.Generator().manual_seed(seed_for("head", training_seed))
    bound = 1 / math.sqrt(head.in_features)
    for parameter in (head.weight, head.bias):
        if parameter is not None:
            parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
