"""Dynamic loss scaling for float16, in which the small gradients of a mean loss underflow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FIRST = 2.0**16
STEPS_TO_GROW = 2000  # without an overflow, until the scale is doubled


class LossScale:
    """A factor on the loss: halved when a gradient overflows, doubled after many steps without an overflow.

    It is updated on the device, without host synchronisation, so that a CUDA graph can capture it. A step
    whose gradients overflowed is taken with gradients of zero.

    Args:
        device: where the gradients are.
    """

    def __init__(self, device: torch.device) -> None:
        self._value = torch.zeros((), device=device)
        self._calm = torch.zeros((), dtype=torch.int32, device=device)  # steps since the last overflow
        self._overflow = torch.zeros((), device=device)
        self.reset()

    def reset(self) -> None:
        """Reset in place."""
        self._value.fill_(FIRST)
        self._calm.zero_()

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss times the factor."""
        return loss * self._value

    @torch.no_grad()
    def unscale(self, gradients: Sequence[Tensor]) -> None:
        """Divide gradients by the factor, or zero them all if one overflowed; then update the factor."""
        self._overflow.zero_()
        torch._amp_foreach_non_finite_check_and_unscale_(
            list(gradients), self._overflow, self._value.reciprocal()
        )
        overflowed = self._overflow > 0
        for gradient in gradients:
            gradient.masked_fill_(overflowed, 0.0)
        torch._amp_update_scale_(self._value, self._calm, self._overflow, 2.0, 0.5, STEPS_TO_GROW)

    def state(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint."""
        return {"value": self._value, "calm": self._calm}

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore a state."""
        self._value.copy_(state["value"])
        self._calm.copy_(state["calm"])
