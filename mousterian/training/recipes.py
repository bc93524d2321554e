"""Recipes: optimiser, schedule, length and augmentation of a training run, as rows of one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mousterian.errors import InputError, InputErrors, nearest, unknown_name

Share = Annotated[float, Field(ge=0, le=1)]


class Recipe(BaseModel):
    """How long and with what optimiser a classifier is trained.

    Exactly one of `epochs` and `iterations` sets the length; warm-up and milestones are shares of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="row of the recipe table it starts from")
    epochs: float | None = Field(None, gt=0, description="passes over the mixture")
    iterations: int | None = Field(None, gt=0, description="optimiser steps, whatever the mixture's size")
    batch_size: int = Field(128, gt=0, description="images a step; never more than the mixture has")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="optimiser")
    learning_rate: float = Field(0.1, gt=0, description="peak learning rate")
    momentum: Share = Field(0.9, description="momentum of SGD")
    nesterov: bool = Field(False, description="Nesterov's momentum for SGD")
    weight_decay: float = Field(1e-4, ge=0, description="weight decay on all parameters")
    schedule: Literal["constant", "cosine", "multistep"] = Field(
        "cosine", description="learning rate over time"
    )
    warmup: Share = Field(0.0, description="share of the steps with a rising learning rate")
    milestones: tuple[Share, ...] = Field(
        (0.5, 0.75), description="shares of the steps where multistep decays"
    )
    decay: Share = Field(0.1, description="factor of each multistep decay")
    crop: int = Field(4, ge=0, description="pixels of reflected padding for random crops; 0 is no crop")
    flip: bool = Field(True, description="random horizontal flips")
    label_smoothing: Share = Field(0.0, description="label smoothing of the cross-entropy")

    def model_post_init(self, context: Any) -> None:
        """Refuse a recipe without exactly one length."""
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("set exactly one of epochs and iterations")

    def steps(self, images: int) -> int:
        """Return the number of optimiser steps on a mixture of so many images."""
        if self.iterations is not None:
            return self.iterations
        return max(1, math.ceil((self.epochs or 0) * images / min(self.batch_size, images)))

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of one step (0-based) out of `steps`."""
        warm = round(self.warmup * steps)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        if self.schedule == "multistep":
            return self.learning_rate * self.decay ** sum(step >= share * steps for share in self.milestones)
        if self.schedule == "cosine":
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
        return self.learning_rate


# Sources: resnet110 and resnet110_small are Tables 7 and 8 and Appendix D of the main paper (CIFAR-10 and
# CIFAR-Half; CIFAR-Small). small and fashion are this project's own, for embedded and CPU-sized data.
_COLUMNS = (
    "optimizer", "learning_rate", "weight_decay", "batch_size", "schedule", "warmup", "crop", "flip",
)  # fmt: skip
_ROWS: dict[str, tuple[dict[str, int], tuple[Any, ...]]] = {
    "small":           ({"iterations": 300},  ("adamw", 3e-3, 0.05,  64, "cosine",    0.1, 1, False)),
    "fashion":         ({"iterations": 1500}, ("adamw", 3e-3, 0.05, 128, "cosine",    0.1, 2, True)),
    "resnet110":       ({"epochs": 160},      ("sgd",   0.1,  1e-4, 128, "multistep", 0.0, 4, True)),
    "resnet110_small": ({"epochs": 320},      ("sgd",   0.1,  1e-4, 128, "multistep", 0.0, 4, True)),
}  # fmt: skip


def names() -> tuple[str, ...]:
    """Return the names of all recipes."""
    return tuple(_ROWS)


def recipe(name: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe of the table, with some values changed.

    Setting `epochs` drops the row's `iterations` and the other way round.

    Raises:
        InputError: unknown recipe, unknown value, wrong type.
    """
    if name not in _ROWS:
        raise unknown_name("recipe", name, _ROWS, hint="`mousterian list recipes` shows them")
    changes = dict(changes or {})
    length, row = _ROWS[name]
    if {"epochs", "iterations"} & changes.keys():
        length = {}
    values = {"name": name, **length, **dict(zip(_COLUMNS, row, strict=True))}
    try:
        return Recipe.model_validate(values | changes)
    except ValidationError as error:
        raise InputErrors(_explain(name, each) for each in error.errors()) from None


def _explain(name: str, error: Any) -> InputError:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        match = nearest(key, Recipe.model_fields)
        tail = f"did you mean {match!r}?" if match else f"it has: {', '.join(Recipe.model_fields)}"
        return InputError(f"recipe {name!r} has no value {key!r}; {tail}")
    subject = f"recipe {name!r}: {key}" if key else f"recipe {name!r}"
    return InputError(f"{subject}: {error['msg']}")
