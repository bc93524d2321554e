"""Muon (Jordan et al. 2024): orthogonalised momentum for convolution filters, SGD for all else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Coefficients of a quintic iteration that drives all singular values to about 1 (Jordan et al. 2024).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 3
_FILTER_MOMENTUM = 0.6
_FILTER_DIMENSIONS = 4


def orthogonalise(matrices: Tensor, iterations: int = _ITERATIONS) -> Tensor:
    """Return (..., R, C) with singular values near 1 and the same singular vectors (Newton-Schulz).

    Computed in bfloat16 on accelerators, for speed, and in float32 on CPU.
    """
    a, b, c = _QUINTIC
    wide = matrices.shape[-2] <= matrices.shape[-1]
    found = matrices if wide else matrices.mT
    found = found.to(torch.float32 if found.device.type == "cpu" else torch.bfloat16)
    found = found / (found.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        square = found @ found.mT
        found = a * found + (b * square + c * square @ square) @ found
    same: Tensor = (found if wide else found.mT).to(matrices.dtype)
    return same


class Muon(torch.optim.Optimizer):
    """Muon for filters, Nesterov SGD for the other parameters.

    A filter bank (out, in, height, width) is normalised to the norm sqrt(out) and updated by an orthogonal
    matrix times the learning rate.

    Args:
        parameters: all trainable parameters.
        lr: learning rate of the filters.
        other_lr: learning rate of the other parameters.
        momentum: of the other parameters; that of the filters is 0.6.
        weight_decay: of the other parameters.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        other_lr: float,
        momentum: float,
        weight_decay: float,
    ) -> None:
        every = list(parameters)
        filters = [p for p in every if p.ndim == _FILTER_DIMENSIONS]
        others = [p for p in every if p.ndim != _FILTER_DIMENSIONS]
        groups: list[dict[str, Any]] = [
            {"params": filters, "lr": lr, "momentum": _FILTER_MOMENTUM, "orthogonal": True},
            {"params": others, "lr": other_lr, "momentum": momentum, "orthogonal": False},
        ]
        super().__init__([group for group in groups if group["params"]], {"weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all parameters; learning rates may be numbers or tensors."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if group["orthogonal"]:
                self._move_filters(moved, group)
            else:
                self._move_others(moved, group)

    def _nesterov(self, parameter: nn.Parameter, gradient: Tensor, momentum: float) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"]
        buffer.mul_(momentum).add_(gradient)
        return gradient.add(buffer, alpha=momentum)

    def _move_filters(self, filters: list[nn.Parameter], group: dict[str, Any]) -> None:
        by_shape = defaultdict(list)  # filters of one shape are one batch of matrices
        for each in filters:
            by_shape[each.shape].append(each)
        for same in by_shape.values():
            moves = [self._nesterov(p, p.grad, group["momentum"]) for p in same if p.grad is not None]
            matrices = torch.stack([move.flatten(-3) for move in moves])
            for parameter, move in zip(same, orthogonalise(matrices), strict=True):
                size = torch.linalg.vector_norm(parameter, dim=(-4, -3, -2, -1), keepdim=True)
                parameter.mul_(parameter.shape[-4] ** 0.5 / size)
                parameter.sub_(move.reshape(parameter.shape) * group["lr"])

    def _move_others(self, others: list[nn.Parameter], group: dict[str, Any]) -> None:
        for parameter in others:
            if parameter.grad is not None:
                gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
                move = self._nesterov(parameter, gradient, group["momentum"])
                parameter.sub_(move * group["lr"])
