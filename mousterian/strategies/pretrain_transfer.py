"""Pre-training on synthetic images, then fine-tuning with a fresh head on real ones (He et al. 2023, 3.3)."""

from __future__ import annotations

from mousterian.strategies._heads import head_of, start_anew
from mousterian.strategies._sources import real, synthetic
from mousterian.training.loop import Cost, Normalised, Stream, Task
from mousterian.training.loop import train as run
from mousterian.training.proposal import Proposal
from mousterian.training.recipes import recipe as named


def check(proposal: Proposal, *, pretraining: str) -> None:
    """Refuse an unknown recipe, and a model without a head to replace."""
    named(pretraining)
    head_of(proposal.network(), len(proposal.class_names))


def train(model: Normalised, task: Task, *, pretraining: str = "he_pretrain") -> Cost:
    """Train on the labels of synthetic images with a recipe of their own, then on real ones with the trial's.

    Where it differs from `bridged`: pre-training has its own optimiser and length, and the head is always
    drawn again. Without synthetic images it is training on real ones alone.

    Args:
        pretraining: recipe of the pre-training; he_transfer is the paper's for the trial.
    """
    pool, cost = synthetic(task), Cost(0, 0, 0.0)
    if len(pool):
        recipe = named(pretraining)
        stream = Stream(pool, recipe.batch_size)
        cost += run(model, [stream], task, recipe=recipe, stage="pre-training")
        start_anew(head_of(model.network, len(task.mixture.class_names)), task.training_seed)
    return cost + run(model, [Stream(real(task), task.recipe.batch_size)], task, stage="transfer")
