"""A trial's training and evaluation, repeated in smaller micro-batches where memory runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mousterian.data.image_set import TrialImages
from mousterian.plugins import registry
from mousterian.seeds import canonical, seed_for
from mousterian.training import acceleration
from mousterian.training.checkpoint import Checkpoint
from mousterian.training.loop import Cost, Diverged, Normalised, Task, prepare
from mousterian.training.memory import free, with_less_memory
from mousterian.training.mixture import Mixture
from mousterian.training.observer import Observer
from mousterian.training.recipes import Recipe
from mousterian.training.scoring import observer, score

if TYPE_CHECKING:
    from mousterian.plugins.choice import Choice
    from mousterian.trials.identity import Trial


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial.

    Attributes:
        cost: cost of its training.
        scores: result columns of each evaluation; empty where the training diverged.
        diverged: whether a loss or a weight was not finite.
        note: where it diverged, or how it was made to fit in memory.
    """

    cost: Cost
    scores: list[dict[str, Any]]
    diverged: bool = False
    note: str = ""


def train_and_evaluate(
    trial: Trial, images: TrialImages, device: torch.device, checkpoint: Path, mode: str = "auto"
) -> Outcome:
    """Train and evaluate a trial; if memory runs out, split its batches into two, four, … micro-batches.

    The effective batch stays the same. Batch norm sees micro-batches, so that the result is not bit for bit
    that of whole batches; the trial's row says so.

    Raises:
        InputError: memory is insufficient for one image at a time.
    """

    def run(parts: int) -> Outcome:
        task = task_of(trial, images, device, mode)
        task = replace(task, checkpoint=Checkpoint(checkpoint, trial.key), micro_batches=parts)
        observers = observers_of(trial, images, device)
        model, cost = trained(trial, images, observed(task, observers))
        return outcome_of(trial, model, images, cost, observers)

    return in_micro_batches(int(trial.recipe["batch_size"]), run)


def in_micro_batches(most: int, run: Callable[[int], Outcome]) -> Outcome:
    """Return what `run` gives for the first of 1, 2, 4, … `most` micro-batches per step that fits in memory.

    Raises:
        InputError: memory is insufficient for one image at a time.
    """
    outcome, parts = with_less_memory(run, most, "for one image at a time", release=_release)
    if parts == 1:
        return outcome
    note = f"memory ran out; trained in {parts} micro-batches a step, of the same effective batch"
    return replace(outcome, note=f"{outcome.note}; {note}" if outcome.note else note)


def _release() -> None:
    acceleration.clear_cache()
    free()


def task_of(trial: Trial, images: TrialImages, device: torch.device, mode: str) -> Task:
    """Return the task of the trial's strategy; `mode` is the acceleration."""
    return Task(
        _mixture(images, device),
        trial.n_base,
        Recipe.model_validate(dict(trial.recipe)),
        device,
        trial.training_seed,
        key=_shape_key(trial, images),
        acceleration=mode,
    )


def model_of(trial: Trial, images: TrialImages, task: Task) -> Normalised:
    """Return the trial's model before training, initialised from the trial's seed."""
    train = images.train
    torch.manual_seed(seed_for("initialisation", trial.training_seed))
    return prepare(_call("models", trial.model, len(train.class_names), train.shape), task)


def observed(task: Task, observers: Sequence[Observer | None]) -> Task:
    """Return the task with its observers."""
    return replace(task, observers=tuple(each for each in observers if each is not None))


def observers_of(trial: Trial, images: TrialImages, device: torch.device) -> list[Observer | None]:
    """Return the observer of each evaluation that runs during training; None for those that run after it."""
    return [
        observer(registry.find("evaluations", each.name), each.options, images, device)
        for each in trial.evaluations
    ]


def trained(trial: Trial, images: TrialImages, task: Task) -> tuple[Normalised, Cost | Diverged]:
    """Return the trial's model after training, and its cost or where it diverged."""
    model = model_of(trial, images, task)
    try:
        cost: Cost | Diverged = _call("strategies", trial.strategy, model, task)
    except Diverged as found:
        cost = found
    return model, cost


def outcome_of(
    trial: Trial,
    model: Normalised,
    images: TrialImages,
    cost: Cost | Diverged,
    observers: Sequence[Observer | None] = (),
) -> Outcome:
    """Return the outcome of a trial whose model was trained: its scores, unless it diverged."""
    observing = list(observers) or [None] * len(trial.evaluations)
    if isinstance(cost, Diverged):
        measured = [each.columns() if each is not None else {} for each in observing]
        return Outcome(cost.cost, measured, diverged=True, note=str(cost))
    device = model.get_buffer("mean").device
    scores = [
        watching.columns()
        if watching is not None
        else score(registry.find("evaluations", each.name), each.options, model, images, device)
        for each, watching in zip(trial.evaluations, observing, strict=True)
    ]
    infinite = [each for each in scores if not math.isfinite(each.get("loss") or 0.0)]
    for each in infinite:
        each["loss"] = None
    note = "the loss on the test images is not finite" if infinite else ""
    return Outcome(cost, scores, bool(infinite), note)


def _mixture(images: TrialImages, device: torch.device) -> Mixture:
    mixture = Mixture.of(images.train, device, images.real)
    if images.synthetic is None:
        return mixture
    return mixture + Mixture.of(images.synthetic, device, np.arange(images.n_syn_plus, dtype=np.int64))


def _shape_key(trial: Trial, images: TrialImages) -> str:
    """Return a key that is the same for trials which can share a compiled step."""
    classes = len(images.train.class_names)
    return canonical([trial.model.text, trial.strategy.text, dict(trial.recipe), classes, images.train.shape])


def _call(kind: str, choice: Choice, *arguments: Any) -> Any:
    """Call a plug-in with its options."""
    plugin = registry.find(kind, choice.name)
    return plugin.load()(*arguments, **choice.options, **plugin.preset)
