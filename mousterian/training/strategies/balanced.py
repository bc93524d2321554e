"""Balanced batches: each holds an exact share of synthetic images, whatever the sizes (Diversify, 3.3)."""

from __future__ import annotations

from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.strategies._sources import mixed_batch
from mousterian.training.strategy_checks import TrainingSetup, check_share, check_weight


def check(setup: TrainingSetup, *, share: float, weight: float) -> None:
    """Refuse an impossible share or weight."""
    check_share(setup, share)
    check_weight("weight", weight)


def train(model: Normalised, task: Task, *, share: float = 0.5, weight: float = 0.6) -> Cost:
    """Train on batches of which an exact share is synthetic, whatever the ratio of the two sets.

    The number of images seen is that of joint training on the same mixture. Without synthetic images it is
    joint training.

    Args:
        share: share of synthetic images in each batch, 0 to 1.
        weight: weight of a synthetic image's loss; a real one's is 1 (λ of Diversify, don't fine-tune).
    """
    return run(model, mixed_batch(task, share, weight), task, steps=task.recipe.steps(len(task.mixture)))
