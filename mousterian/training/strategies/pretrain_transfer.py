"""Pre-training on synthetic images, then fine-tuning with a fresh head on real ones (He et al. 2023, 3.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from torch.nn import functional

from mousterian.errors import InputError
from mousterian.plugins.choice import name_and_options
from mousterian.training.feed import Stream
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.mixture import Mixture
from mousterian.training.recipes import Recipe
from mousterian.training.recipes import recipe as named
from mousterian.training.strategies._heads import head_of, reinitialise
from mousterian.training.strategies._moco import MomentumContrast, projecting
from mousterian.training.strategies._sources import real, synthetic
from mousterian.training.strategy_checks import TrainingSetup

# MoCo's loss, without the recipe's label smoothing.
_LOSS = functional.cross_entropy


def check(
    setup: TrainingSetup,
    *,
    pretraining: str | dict[str, Any],
    method: str,
    queue: int,
    momentum: float,
    temperature: float,
) -> None:
    """Refuse an unknown recipe, a model without a head to replace, and invalid values."""
    recipe = _recipe(pretraining)
    head_of(setup.network(), len(setup.class_names))
    if queue < 1 or not 0 <= momentum <= 1 or not temperature > 0:
        raise InputError(
            "MoCo needs a queue of 1 key or more, a momentum of 0 to 1 and a temperature above 0,"
            f" not {queue}, {momentum} and {temperature}"
        )
    if method == "moco" and (recipe.mixup or recipe.cutmix):
        raise InputError(
            f"MoCo uses no labels, and the recipe {recipe.name!r} mixes them (mixup, CutMix)",
            hint='choose a recipe without them, such as pretraining = "moco_v2"',
        )


def train(
    model: Normalised,
    task: Task,
    *,
    pretraining: str | dict[str, Any] = "he_pretrain",
    method: Literal["supervised", "moco"] = "supervised",
    queue: int = 65536,
    momentum: float = 0.999,
    temperature: float = 0.2,
) -> Cost:
    """Pre-train on synthetic images with a separate recipe, then train on real ones with the trial's.

    Unlike `bridged`, pre-training has its own optimiser and length, and the head is always reinitialised.
    Without synthetic images it is training on real ones alone.

    Args:
        pretraining: recipe of the pre-training, or a table with its name and the fields to change:
            he_pretrain, or moco_v2 for MoCo (its views replace crops, flips and RandAugment); he_transfer is
            the paper's for the trial.
        method: supervised: with labels; moco: MoCo v2, without labels.
        queue: size of MoCo's queue, keys.
        momentum: of MoCo's momentum encoder.
        temperature: divisor of MoCo's logits.
    """
    pool, cost = synthetic(task), Cost(0, 0, 0.0)
    if len(pool):
        recipe = _recipe(pretraining)
        if method == "moco":
            recipe = recipe.model_copy(
                update={"crop": 0, "resized_crop": 0.0, "flip": False, "rand_augment": 0}
            )
            cost += _contrast(model, task, pool, recipe, (queue, momentum, temperature))
        else:
            cost += run(model, [Stream(pool, recipe.batch_size)], task, recipe=recipe, stage="pre-training")
        reinitialise(head_of(model.network, len(task.mixture.class_names)), task.training_seed)
    return cost + run(model, [Stream(real(task), task.recipe.batch_size)], task, stage="transfer")


def _recipe(pretraining: str | dict[str, Any]) -> Recipe:
    """Return a recipe by its name, with changed fields if any."""
    return named(*name_and_options(pretraining))


def _contrast(
    model: Normalised, task: Task, pool: Mixture, recipe: Recipe, values: tuple[int, float, float]
) -> Cost:
    """Pre-train by MoCo; its queue position is on the host, so its steps are not captured as a graph."""
    queue, momentum, temperature = values
    with projecting(model, len(task.mixture.class_names), task.training_seed):
        contrast = MomentumContrast(
            model, task.training_seed, queue=queue, momentum=momentum, temperature=temperature
        )
        first = torch.zeros(len(pool), dtype=torch.int64, device=task.device)
        stream = Stream(pool, recipe.batch_size, targets=first, loss=_LOSS, module=contrast)
        eager = replace(task, acceleration="eager", key="")
        return run(model, [stream], eager, recipe=recipe, stage="pre-training")
