"""One source after the other: synthetic then real, or real then synthetic (He et al. 2023, Table 7)."""

from __future__ import annotations

from typing import Literal

from mousterian.training.feed import Stream
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.strategies._batch_norms import frozen_norms
from mousterian.training.strategies._sources import real, synthetic
from mousterian.training.strategy_checks import TrainingSetup, check_batch


def check(
    setup: TrainingSetup, *, first: str, real_batch: int | None, syn_batch: int | None, freeze_bn: bool
) -> None:
    """Refuse empty batches."""
    check_batch(real_batch, syn_batch)


def train(
    model: Normalised,
    task: Task,
    *,
    first: Literal["synthetic", "real"] = "synthetic",
    real_batch: int | None = None,
    syn_batch: int | None = None,
    freeze_bn: bool = False,
) -> Cost:
    """Train in two phases, each with the whole recipe on the images of one source.

    Each phase has the recipe's epochs on its own images, or its iterations, and restarts the schedule. A
    mixture without synthetic images has the real phase alone.

    Args:
        first: the source of the first phase.
        real_batch: real images per step; default: the recipe's.
        syn_batch: synthetic images per step; default: the recipe's.
        freeze_bn: freeze the statistics and parameters of batch norms; for pre-trained models.
    """
    phases = [("synthetic", synthetic(task), syn_batch), ("real", real(task), real_batch)]
    cost = Cost(0, 0, 0.0)
    with frozen_norms(model, freeze_bn) as module:
        for name, images, size in phases if first == "synthetic" else reversed(phases):
            if len(images):
                recipe = task.recipe.model_copy(update={"batch_size": size or task.recipe.batch_size})
                stream = Stream(images, recipe.batch_size, module=module)
                cost += run(model, [stream], task, recipe=recipe, stage=name)
    return cost
