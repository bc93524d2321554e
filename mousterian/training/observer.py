"""Observers of a model during training."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn


class Observer(Protocol):
    """Measures a model after some steps of each stage of its training; its state is checkpointed."""

    def is_due(self, step: int, steps: int) -> bool:
        """Return whether to observe after `step`, counted from 1, of the `steps` of a stage."""
        ...

    def observe(self, model: nn.Module, step: int) -> None:
        """Measure the model, which is in evaluation mode, after `step` of the stage."""
        ...

    def end_stage(self, steps: int) -> None:
        """End a stage of so many steps."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the measurements for a checkpoint: numbers and lists of numbers."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        ...

    def columns(self) -> dict[str, Any]:
        """Return the measurements as result columns of the store."""
        ...
