"""The one training loop. Strategies differ in the streams they feed it, not in loops of their own.

A strategy may call `train` several times on one model (stages), each with its own recipe; use several
streams with their own batch sizes, loss weights, losses and targets; and apply to the streams modules that
share some of their parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mousterian.errors import InputError
from mousterian.seeds import seed_for
from mousterian.training.acceleration import update_for
from mousterian.training.augmentation import channel_statistics, normalise
from mousterian.training.checkpoint import Checkpoint
from mousterian.training.distributed import Group
from mousterian.training.feed import Feed, Preprocessing, Stream
from mousterian.training.mixture import Mixture
from mousterian.training.observer import Observer
from mousterian.training.recipes import Recipe
from mousterian.training.update import Update, autocast

# Steps between two checks for a non-finite loss, each of which waits for the device.
_CHECK_EVERY = 200
__all__ = ["Cost", "Diverged", "Mixture", "Normalised", "Stream", "Task", "prepare", "train"]


@dataclass(frozen=True)
class Task:
    """What a strategy is given besides the model.

    Attributes:
        mixture: base, real added and synthetic added images, in that order.
        n_base: size of S_base.
        recipe: optimiser, schedule, length, augmentation.
        device: to train on.
        training_seed: seed of initialisation and data order.
        checkpoint: of a long run.
        micro_batches: number of parts that each batch is split into to save memory.
        key: the same for trials that share model, shapes, strategy and recipe: a captured step is cached
            under it for the next such trial. Empty: no caching.
        acceleration: "eager", "graph" (the step as a CUDA graph), "compile" (the same, compiled) or
            "auto": graph on CUDA, else eager.
        group: the processes that train this task together, each on its device.
        observers: measure the model during training without changing it.
    """

    mixture: Mixture
    n_base: int
    recipe: Recipe
    device: torch.device
    training_seed: int
    checkpoint: Checkpoint | None = None
    micro_batches: int = 1
    key: str = ""
    acceleration: str = "auto"
    group: Group | None = None
    observers: tuple[Observer, ...] = ()


@dataclass(frozen=True)
class Cost:
    """The cost of a training run."""

    steps: int
    images_seen: int
    seconds: float

    def __add__(self, other: Cost) -> Cost:
        """Return the cost of two stages together."""
        return Cost(
            self.steps + other.steps, self.images_seen + other.images_seen, self.seconds + other.seconds
        )


class Diverged(Exception):  # noqa: N818 (a result, not an error)
    """The loss or a weight was not finite; a result of the trial, not a failure.

    Args:
        what: one sentence.
        cost: up to the detection.
    """

    def __init__(self, what: str, cost: Cost) -> None:
        super().__init__(what)
        self.cost = cost


class Normalised(nn.Module):
    """A classifier of uint8 images: normalisation by the statistics of S_base, then the network."""

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor, precision: str = "float32") -> None:
        super().__init__()
        self.network = network
        self.precision = precision
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for images (N, C, H, W), uint8, or float32 already normalised."""
        if images.dtype == torch.uint8:
            images = normalise(images, self.get_buffer("mean"), self.get_buffer("std"))
        with autocast(images.device, self.precision):
            logits: Tensor = self.network(images)
        return logits


def prepare(network: nn.Module, task: Task) -> Normalised:
    """Return the network preceded by a normalisation by the channel statistics of S_base, on the device.

    The statistics come from S_base, not from the mixture, so that trials that differ only in what is
    added start from the same function; a pre-trained network brings its own as `statistics`, each
    (1, C, 1, 1). A network with a data-dependent initialisation has a method `initialise_from`, which is
    given the normalised images of S_base.
    """
    base = task.mixture.images(torch.arange(task.n_base, device=task.device))
    own: tuple[Tensor, Tensor] | None = getattr(network, "statistics", None)
    mean, std = channel_statistics(base) if own is None else own
    model = Normalised(network, mean, std, task.recipe.precision).to(task.device)
    initialise_from: Callable[[Tensor], None] | None = getattr(network, "initialise_from", None)
    if initialise_from is not None:
        initialise_from(normalise(base, mean, std))
    return model if task.device.type == "cpu" else model.to(memory_format=torch.channels_last)


def train(
    model: Normalised,
    streams: Sequence[Stream],
    task: Task,
    *,
    recipe: Recipe | None = None,
    steps: int | None = None,
    stage: str = "",
) -> Cost:
    """Train `model` in place on a batch from every stream at each step.

    Args:
        model: classifier of uint8 images.
        streams: sources of batches; the loss of a step is the weighted sum of their mean losses.
        task: device, seed, checkpoint.
        recipe: of this stage; default: the task's.
        steps: optimiser steps; default: the recipe's, for the total size of the streams.
        stage: its name, which seeds it, if a strategy trains in several stages.

    Raises:
        InputError: there is no stream.
        Diverged: the loss or a weight was not finite.
    """
    if not streams:
        raise InputError("there is no stream to train on")
    recipe = recipe or task.recipe
    length = steps or recipe.steps(sum(len(stream.mixture) for stream in streams))
    run = _Run(model, streams, replace(task, recipe=recipe), length, stage)
    if task.checkpoint is None:
        return run.run()
    task.checkpoint.begin_stage()
    saved = task.checkpoint.finished_stage()
    if saved is None:
        cost = run.run()
        task.checkpoint.end_stage([cost.steps, cost.images_seen, cost.seconds])
        return cost
    return Cost(int(saved[0]), int(saved[1]), saved[2])


class _Run:
    """One call of `train`."""

    def __init__(
        self, model: Normalised, streams: Sequence[Stream], task: Task, length: int, stage: str
    ) -> None:
        self._model, self._streams, self._task, self._recipe = model, streams, task, task.recipe
        self._steps = length
        self._stage = stage
        self._seeds = (task.training_seed, *([stage] if stage else []))
        self._generator = torch.Generator().manual_seed(seed_for("augmentation", *self._seeds))
        self._seconds = 0.0

    def _feed(self, number: int, stream: Stream) -> Feed:
        mean, std = self._model.get_buffer("mean"), self._model.get_buffer("std")
        preprocessing = Preprocessing(mean, std, self._recipe)

        def seed(purpose: str) -> int:
            return seed_for(purpose, *self._seeds, number)

        return Feed(stream, preprocessing, seed, self._generator)

    def run(self) -> Cost:
        """Train from the start, or from a checkpoint."""
        started = time.perf_counter()
        modules = [stream.module or self._model for stream in self._streams]
        for module in modules:
            module.train()
        feeds = [self._feed(number, stream) for number, stream in enumerate(self._streams)]
        task = self._task
        update = update_for(
            modules,
            self._streams,
            self._recipe,
            task.device,
            micro_batches=task.micro_batches,
            mode=task.acceleration,
            key=task.key and task.key + self._stage,
            group=task.group,
        )
        first = self._resume(update, feeds)
        if task.group is not None:
            task.group.begin(update.modules, first, task.training_seed)
        for step in range(first, self._steps):
            update.set_learning_rates(step, self._steps)
            update.step([feed.next() for feed in feeds])
            if (step + 1) % _CHECK_EVERY == 0:
                self._check(update, step + 1, started)
            self._observe(update, modules, step + 1)
            self._save(update, step + 1, started)
        update.finish()
        for module in modules:
            module.eval()
        for observer in task.observers:
            observer.end_stage(self._steps)
        self._check(update, self._steps, started)
        if not update.weights_finite():
            raise Diverged("a weight is not finite after the last step", self._cost(self._steps, started))
        return self._cost(self._steps, started)

    def _observe(self, update: Update, modules: Sequence[nn.Module], done: int) -> None:
        """Let the observers that are due measure the model, then return it to training mode."""
        due = [each for each in self._task.observers if each.is_due(done, self._steps)]
        if not due:
            return
        update.export_weights()
        self._model.eval()
        for observer in due:
            observer.observe(self._model, done)
        for module in modules:
            module.train()

    def _cost(self, steps: int, started: float) -> Cost:
        seen = steps * sum(stream.batch for stream in self._streams)
        return Cost(steps, seen, self._seconds + time.perf_counter() - started)

    def _check(self, update: Update, done: int, started: float) -> None:
        """Wait for the device and raise if the loss of a step was not finite."""
        finite = int(update.finite_steps)
        if finite < done:
            raise Diverged(
                f"the loss was not finite at step {finite + 1} of {self._steps}", self._cost(done, started)
            )

    def _save(self, update: Update, done: int, started: float) -> None:
        checkpoint = self._task.checkpoint
        if checkpoint is None or done == self._steps or not checkpoint.due():
            return
        self._check(update, done, started)
        state: dict[str, Any] = {
            "step": done,
            "seconds": self._seconds + time.perf_counter() - started,
            "update": update.state(),
            "augmentation": self._generator.get_state(),
            "random": torch.get_rng_state(),
            "observers": [each.state() for each in self._task.observers],
        }
        if self._task.device.type == "cuda":
            state["random_device"] = torch.cuda.get_rng_state(self._task.device)
        checkpoint.write(state)

    def _resume(self, update: Update, feeds: Sequence[Feed]) -> int:
        """Return the step to start from: 0, or that of the checkpoint."""
        state = self._task.checkpoint and self._task.checkpoint.state()
        if not state:
            return 0
        update.load(state["update"])
        for feed in feeds:
            feed.skip(state["step"])
        self._generator.set_state(state["augmentation"])
        torch.set_rng_state(state["random"])
        if "random_device" in state and self._task.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_device"], self._task.device)
        self._seconds = state["seconds"]
        # Of the processes of a trial on several devices only the first has observers.
        for observer, seen in zip(self._task.observers, state.get("observers", ()), strict=False):
            observer.load(seen)
        return int(state["step"])
