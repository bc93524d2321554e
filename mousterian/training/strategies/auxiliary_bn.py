"""Auxiliary batch norms for synthetic images; evaluation uses the real ones (Diversify, 3.3)."""

from __future__ import annotations

from dataclasses import replace

from mousterian.errors import InputError
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.strategies._batch_norms import batch_norms, with_own_norms
from mousterian.training.strategies._sources import mixed_batch
from mousterian.training.strategy_checks import TrainingSetup, check_share, check_weight


def check(setup: TrainingSetup, *, share: float, weight: float) -> None:
    """Refuse a model without batch norm, and shares that leave the real norms without images."""
    check_weight("weight", weight)
    if share == 1:
        raise InputError(
            "with a share of 1 no real image passes through the batch norms that are used in evaluation",
            hint="choose a share below 1, or the strategy balanced",
        )
    check_share(setup, share)
    if not batch_norms(setup.network()):
        raise InputError(
            f"auxiliary_bn gives synthetic images their own batch norms; model {setup.model!r} has none",
            hint="use the strategy balanced, which is the same without them, or a model with batch norm",
        )


def train(model: Normalised, task: Task, *, share: float = 0.5, weight: float = 0.6) -> Cost:
    """Train as `balanced`, with separate batch norms (statistics, scale, shift) for synthetic images.

    All other parameters are shared. The synthetic images' norms are dropped after training.

    Args:
        share: share of synthetic images in each batch, 0 to less than 1.
        weight: weight of a synthetic image's loss; a real one's is 1 (λ of Diversify, don't fine-tune).
    """
    streams = mixed_batch(task, share, weight)
    twin = with_own_norms(model)
    own = [replace(each, module=twin) if bool(each.mixture.synthetic[0]) else each for each in streams]
    return run(model, own, task, steps=task.recipe.steps(len(task.mixture)))
