"""The classifier's last layer: finding it, replacing it, starting it anew."""

from __future__ import annotations

import math

import torch
from torch import nn

from mousterian.errors import InputError
from mousterian.seeds import seed_for


def head_of(network: nn.Module, classes: int) -> nn.Linear:
    """Return the last linear layer that gives one output for each class.

    Raises:
        InputError: there is none.
    """
    linear = [each for each in network.modules() if isinstance(each, nn.Linear)]
    if not linear or linear[-1].out_features != classes:
        raise InputError(
            f"no linear layer with {classes} outputs ends this model, so it has no head to replace",
            hint="take a model that ends in torch.nn.Linear",
        )
    return linear[-1]


def replaced(network: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """Return the network with another module in the place of one of its own, or of itself.

    Args:
        network: changed in place, unless it is itself what is replaced.
        old: one of its modules.
        new: takes its place as it is, on the device that it is on.
    """
    place = next(name for name, module in network.named_modules() if module is old)
    if not place:
        return new
    network.set_submodule(place, new)
    return network


@torch.no_grad()
def start_anew(head: nn.Linear, training_seed: int) -> None:
    """Draw a head's weights again, as torch draws those of a new linear layer, from the trial's seed."""
    generator = torch.Generator().manual_seed(seed_for("head", training_seed))
    bound = 1 / math.sqrt(head.in_features)
    for parameter in (head.weight, head.bias):
        if parameter is not None:
            parameter.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
