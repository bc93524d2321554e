"""A batch of real and one of synthetic images at each step, each of its own size (He et al. 2023, 4.2)."""

from __future__ import annotations

from mousterian.training.feed import Stream
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.strategies._batch_norms import frozen_norms
from mousterian.training.strategies._sources import longest_steps, real, synthetic
from mousterian.training.strategy_checks import TrainingSetup, check_batch, check_weight


def check(setup: TrainingSetup, *, real_batch: int, syn_batch: int, weight: float, freeze_bn: bool) -> None:
    """Refuse empty batches."""
    check_weight("weight", weight)
    check_batch(real_batch, syn_batch)


def train(
    model: Normalised,
    task: Task,
    *,
    real_batch: int = 32,
    syn_batch: int = 512,
    weight: float = 1.0,
    freeze_bn: bool = False,
) -> Cost:
    """Train on two batches at each step; the loss is the sum of their means.

    These sizes replace the recipe's batch size. With a recipe in epochs, they are counted on the set that
    takes more steps. A mixture without synthetic images has the real batch alone.

    Args:
        real_batch: real images per step; at most all of them.
        syn_batch: synthetic images per step; at most all of them.
        weight: weight of the synthetic images' mean loss; the real ones' is 1.
        freeze_bn: freeze the statistics and parameters of batch norms; for pre-trained models.
    """
    with frozen_norms(model, freeze_bn) as module:
        sources = [(real(task), real_batch, 1.0), (synthetic(task), syn_batch, weight)]
        streams = [Stream(images, size, w, module=module) for images, size, w in sources if len(images)]
        return run(model, streams, task, steps=longest_steps(task, streams))
