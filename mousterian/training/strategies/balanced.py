"""Balanced batches: each holds an exact share of synthetic images, whatever the sizes (Diversify, 3.3)."""

from __future__ import annotations

from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.strategies._sources import shared_batch
from mousterian.training.strategy_checks import TrainingSetup, check_share, check_weight


def check(setup: TrainingSetup, *, share: float, weight: float) -> None:
    """Refuse a share that no batch can have and a weight that is none."""
    check_share(setup, share)
    check_weight("weight", weight)


def train(model: Normalised, task: Task, *, share: float = 0.5, weight: float = 0.6) -> Cost:
    """Train on batches of which an exact share is synthetic, whatever the ratio of the two sets.

    As many images are seen as in joint training on the same mixture. A mixture without synthetic images
    is trained on jointly.

    Args:
        share: share of synthetic images in each batch, 0 to 1.
        weight: weight of a synthetic image's loss; a real one's is 1 (λ of Diversify, don't fine-tune).
    """
    return run(model, shared_batch(task, share, weight), task, steps=task.recipe.steps(len(task.mixture)))
