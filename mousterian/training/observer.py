"""Who may look at a model while it trains."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn


class Observer(Protocol):
    """Looks at a model after some steps of each stage of its training; what it saw survives a cut."""

    def wants(self, step: int, steps: int) -> bool:
        """Tell whether it wants to look after `step` of the `steps` of a stage, counted from 1."""
        ...

    def look(self, model: nn.Module, step: int) -> None:
        """Look at the model, which is set to evaluation, after `step` of the stage."""
        ...

    def over(self, steps: int) -> None:
        """A stage of so many steps is over."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what was seen, for a checkpoint: numbers and lists of them."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        ...

    def columns(self) -> dict[str, Any]:
        """Return the store's result columns that follow from what was seen."""
        ...
