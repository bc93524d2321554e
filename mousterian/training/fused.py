"""Several trials of one shape trained at once: their weights stacked, every convolution a grouped one.

A device that idles on the small kernels of one model is filled by many. Each model sees the batches, in the
order and with the augmentation, that it would see alone; sums are taken in another order, so results
agree to rounding, not bit for bit.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from mousterian.errors import InputError
from mousterian.seeds import seed_for
from mousterian.training.acceleration import update_for
from mousterian.training.checkpoint import Checkpoint
from mousterian.training.feed import Batch, Feed, Look, Stream
from mousterian.training.loop import Cost, Diverged, Normalised, Task
from mousterian.training.update import Update


class Ensemble(nn.Module):
    """Models of one architecture as one module with stacked weights.

    Args:
        models: all of one architecture, on one device.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(models))
        self._names = {_flat(name): name for name in (*parameters, *buffers)}
        for name, value in parameters.items():
            self.register_parameter(_flat(name), nn.Parameter(value.detach(), value.requires_grad))
        for name, value in buffers.items():
            self.register_buffer(_flat(name), value)
        # Steps of each model before its first output that was not finite, and whether none has come so far.
        device = next(models[0].parameters()).device
        self.register_buffer("#good", torch.zeros(len(models), dtype=torch.int64, device=device))
        self.register_buffer("#sound", torch.ones(len(models), dtype=torch.bool, device=device))
        self._skeleton = [copy.deepcopy(models[0]).to("meta")]  # in a list: none of its weights are ours

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (K, N, classes) for images (K, N, C, H, W), one batch a model."""
        weights: dict[str, Tensor] = {self._names[n]: p for n, p in self.named_parameters(recurse=False)}
        state: dict[str, Tensor] = {self._names[n]: b for n, b in self._model_buffers()}
        skeleton = self._skeleton[0].train(self.training)

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: Tensor) -> Tensor:
            logits: Tensor = functional_call(skeleton, (parameters, buffers), (batch,))
            return logits

        outputs: Tensor = vmap(one, randomness="different")(weights, state, images)
        if self.training:
            sound = self.get_buffer("#sound")
            sound.logical_and_(torch.isfinite(outputs.detach()).flatten(1).all(1))
            self.get_buffer("#good").add_(sound)
        return outputs

    def _model_buffers(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, value) for name, value in self.named_buffers(recurse=False) if name in self._names)

    @torch.no_grad()
    def give_back(self, models: Sequence[nn.Module]) -> None:
        """Copy the stacked weights into the models they came from."""
        own = self.state_dict()
        for index, model in enumerate(models):
            for name, value in model.state_dict().items():
                value.copy_(own[_flat(name)][index])


def _flat(name: str) -> str:
    return name.replace(".", "/")


class _Feeds:
    """The batches of all models, stacked."""

    def __init__(self, models: Sequence[Normalised], tasks: Sequence[Task]) -> None:
        self._generators = [
            torch.Generator().manual_seed(seed_for("augmentation", task.training_seed)) for task in tasks
        ]
        self._feeds = list(map(_feed, models, tasks, self._generators))

    def state(self) -> list[Tensor]:
        """Return the augmentation's random states, for a checkpoint."""
        return [generator.get_state() for generator in self._generators]

    def load(self, state: Sequence[Tensor], steps: int) -> None:
        """Go on as if so many batches had been drawn; to be called before the first is."""
        for feed, generator, own in zip(self._feeds, self._generators, state, strict=True):
            feed.skip(steps)
            generator.set_state(own)

    def next(self) -> Batch:
        """Return the next batch of every model."""
        images, targets = zip(*(feed.next() for feed in self._feeds), strict=True)
        return torch.stack(images), torch.stack(targets)


def _feed(model: Normalised, task: Task, generator: torch.Generator) -> Feed:
    seed = task.training_seed
    look = Look(model.get_buffer("mean"), model.get_buffer("std"), task.recipe)
    stream = Stream(task.mixture, task.recipe.batch_size)
    return Feed(stream, look, lambda purpose: seed_for(purpose, seed, 0), generator)


def train_together(models: Sequence[Normalised], tasks: Sequence[Task]) -> list[Cost | Diverged]:
    """Train models in place, each jointly on the mixture of its own task; the recipe is the same.

    The first task's checkpoint is that of all of them.

    Returns:
        Each model's cost (a K-th of the time), or that it diverged. One that diverges harms no other.

    Raises:
        InputError: recipes, devices or sizes of mixtures differ.
    """
    alike = {(t.recipe.model_dump_json(), str(t.device), len(t.mixture), t.parts) for t in tasks}
    if len(alike) != 1:
        raise InputError("trials that are trained at once need one recipe, device and size of mixture")
    started = time.perf_counter()
    task, count = tasks[0], len(tasks)
    recipe = task.recipe
    for model in models:
        model.train()
    ensemble = Ensemble(models)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        smoothing = recipe.label_smoothing
        return functional.cross_entropy(
            outputs.flatten(0, 1), targets.flatten(), label_smoothing=smoothing
        ).mul(count)

    stream = replace(Stream(task.mixture, recipe.batch_size), loss=loss)
    key = task.key and f"{count} × {task.key}"
    update = update_for(
        [ensemble], [stream], recipe, task.device, parts=1, mode=task.acceleration, key=key, models=True
    )
    steps = recipe.steps(len(task.mixture))
    before = _train(update, _Feeds(models, tasks), steps, task.checkpoint)
    update.finish()
    ensemble.give_back(models)
    for model in models:
        model.eval()
    seconds = (before + time.perf_counter() - started) / count
    return _results(models, Cost(steps, steps * stream.batch, seconds), ensemble.get_buffer("#good").tolist())


def _train(update: Update, feeds: _Feeds, steps: int, kept: Checkpoint | None) -> float:
    """Take the steps that a checkpoint does not have; return the seconds that it tells of."""
    state, started = None, time.perf_counter()
    if kept is not None:
        kept.enter()
        state = kept.state()
    first, before = (state["step"], state["seconds"]) if state else (0, 0.0)
    if state:
        update.load(state["update"])
        feeds.load(state["feeds"], first)
        torch.set_rng_state(state["random"])
    for step in range(first, steps):
        update.rates(step, steps)
        update.step([feeds.next()])
        if kept is not None and step + 1 < steps and kept.due():
            kept.write(
                {
                    "step": step + 1,
                    "seconds": before + time.perf_counter() - started,
                    "update": update.state(),
                    "feeds": feeds.state(),
                    "random": torch.get_rng_state(),
                }
            )
    return float(before)


def _results(models: Sequence[nn.Module], cost: Cost, good: Sequence[int]) -> list[Cost | Diverged]:
    """Return the cost of each model, or that it diverged, from its number of steps with finite outputs."""
    found: list[Cost | Diverged] = []
    for model, steps in zip(models, good, strict=True):
        values: list[Any] = [torch.isfinite(value).all() for value in model.parameters()]
        if steps < cost.steps:
            text = f"the loss was not finite at step {steps + 1} of {cost.steps}"
            found.append(Diverged(text, cost))
        elif not bool(torch.stack(values).all()):
            found.append(Diverged("a weight is not finite after the last step", cost))
        else:
            found.append(cost)
    return found
