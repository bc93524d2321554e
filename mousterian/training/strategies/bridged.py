"""Bridged transfer: a pre-trained model, fine-tuned on synthetic, then on real images (Li et al. 2024)."""

from __future__ import annotations

from mousterian.errors import InputError
from mousterian.training.feed import Stream
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.strategies._heads import head_of, reinitialise
from mousterian.training.strategies._sources import real, synthetic
from mousterian.training.strategy_checks import TrainingSetup


def check(setup: TrainingSetup, *, mixup: float, reinit: bool) -> None:
    """Refuse reinitialising the head of a model without one."""
    if not 0 <= mixup < float("inf"):
        raise InputError(f"mixup is the parameter of its Beta distribution, 0 for none, not {mixup}")
    if reinit:
        head_of(setup.network(), len(setup.class_names))


def train(model: Normalised, task: Task, *, mixup: float = 0.0, reinit: bool = False) -> Cost:
    """Train with the whole recipe on synthetic images, then with the whole recipe on real ones.

    With `mixup` and `reinit` this is the paper's bridged transfer++. Without synthetic images it is vanilla
    transfer, fine-tuning on real images alone; mixed transfer is the strategy `joint`.

    Args:
        mixup: parameter of mixup's Beta distribution in the synthetic stage; 0 is no mixup.
        reinit: reinitialise the last layer between the stages.
    """
    pool, cost = synthetic(task), Cost(0, 0, 0.0)
    if len(pool):
        recipe = task.recipe.model_copy(update={"mixup": mixup}) if mixup else task.recipe
        stream = Stream(pool, task.recipe.batch_size)
        cost += run(model, [stream], task, recipe=recipe, stage="synthetic")
        if reinit:
            reinitialise(head_of(model.network, len(task.mixture.class_names)), task.training_seed)
    return cost + run(model, [Stream(real(task), task.recipe.batch_size)], task, stage="real")
