"""How long a grid takes, estimated from finished trials of the same kind, else from a short pilot run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mousterian.data.loading import load_images
from mousterian.plugins import registry
from mousterian.seeds import digest
from mousterian.store.rows import Store
from mousterian.store.schema import DONE
from mousterian.synthesis.kinds import GeneratorContext
from mousterian.training.device import device_named
from mousterian.training.recipes import Recipe
from mousterian.trials import images as trial_images
from mousterian.trials.identity import Trial
from mousterian.trials.settings import Settings

PILOT_STEPS = (2, 10)
PILOT_IMAGES = 16
# On a CPU the time is proportional to the images: a pilot with an accelerator's batches would take minutes.
CPU_BATCH = 64
CPU_GENERATOR_BATCH = 8
LONG_PILOT = 20.0  # seconds; a pilot that took longer is not repeated to time it more exactly


@dataclass(frozen=True)
class Estimate:
    """Seconds of one worker's time, and what they are estimated from.

    Attributes:
        by_trial: seconds of each trial, by its hash.
        by_pool: seconds of each pool to be made, by its key; None where it cannot be estimated.
        source: what they are estimated from.
    """

    by_trial: Mapping[str, float]
    by_pool: Mapping[str, float | None]
    source: str

    @property
    def training(self) -> float:
        """Seconds of all trials."""
        return sum(self.by_trial.values())

    @property
    def pools(self) -> float:
        """Seconds of all pools that can be estimated."""
        return sum(seconds or 0.0 for seconds in self.by_pool.values())

    @property
    def unknown_pools(self) -> int:
        """How many pools cannot be estimated."""
        return sum(seconds is None for seconds in self.by_pool.values())


def _kind(trial: Trial) -> str:
    """Return a key of what determines a trial's cost per image."""
    parts = (trial.dataset.describe(), trial.model.describe(), trial.strategy.describe(), dict(trial.recipe))
    return digest([str(part) for part in parts])


def _images_seen(trial: Trial) -> float:
    recipe = Recipe.model_validate(dict(trial.recipe))
    images = trial.n_base + trial.n_real_plus + trial.n_syn_plus
    return recipe.steps(images) * min(recipe.batch_size, images)


def _seconds_an_image(known: Mapping[str, Trial], store: Store) -> dict[str, float]:
    """Return the median seconds per image seen of finished trials, by kind."""
    kinds = {key: _kind(trial) for key, trial in known.items()}
    if not kinds or DONE not in store.status().values():
        return {}
    rows = store.read()
    rows = rows[(rows["status"] == DONE) & rows["trial"].isin(kinds)]
    speed = rows["seconds"] / rows["images_seen"].clip(lower=1)
    return {
        str(kind): float(value) for kind, value in speed.groupby(rows["trial"].map(kinds)).median().items()
    }


def _pilot(trial: Trial, settings: Settings) -> float:
    """Return seconds per image seen of a few steps of a trial on its base images alone."""
    import torch

    from mousterian.training.loop import Diverged
    from mousterian.trials.train_and_evaluate import task_of, trained

    batch = min(int(trial.recipe["batch_size"]), trial.n_base)
    device = torch.device(settings.device)
    if device.type == "cpu":
        batch = min(batch, CPU_BATCH)

    def seconds(steps: int) -> float:
        length = {"epochs": None, "iterations_by_size": (), "iterations": steps}
        short = {**trial.recipe, **length, "batch_size": batch}
        alone = replace(trial, n_real_plus=0, n_syn_plus=0, generator=None, recipe=short)
        images = trial_images.images_of(alone, settings)
        _, cost = trained(alone, images, task_of(alone, images, device, settings.acceleration))
        return (cost.cost if isinstance(cost, Diverged) else cost).seconds

    return _per_step(seconds) / batch


def _per_step(seconds: Callable[[int], float]) -> float:
    few, many = PILOT_STEPS
    first = seconds(few)  # includes what is loaded only once
    if first > LONG_PILOT:
        return first / few
    return max(1e-6, (seconds(many) - seconds(few)) / (many - few))


def _pool_pilot(trial: Trial, settings: Settings) -> tuple[float, float] | None:
    """Return a generator's seconds of training and per image, from a few steps and images.

    None if they cannot be estimated.
    """
    if trial.generator is None:
        return 0.0, 0.0
    plugin = registry.find("generators", trial.generator.name)
    size_for = plugin.part("size_for")
    if size_for is None or "steps" not in trial.generator.options:
        return None
    options = trial.generator.options
    train = load_images(trial.dataset, "train", settings.data_dir)
    real = train.take(trial_images.generator_indices(trial, train))
    size = size_for(min(train.shape[:2]), options.get("preset", ""))
    batch_size = int(options.get("batch_size") or size.batch_size)
    batch = min(batch_size, CPU_GENERATOR_BATCH) if settings.device == "cpu" else batch_size
    sampler: list[Any] = []

    def seconds(steps: int) -> float:
        short = {**options, "steps": steps, "batch_size": batch}
        with tempfile.TemporaryDirectory() as folder:
            context = GeneratorContext(train.class_names, train.shape, 0, settings.device, Path(folder))
            started = time.perf_counter()
            sampler[:] = [plugin.load()(real, context, **short)]
            return time.perf_counter() - started

    per_step = _per_step(seconds) * batch_size / batch
    positions = np.arange(min(PILOT_IMAGES, 2 * batch), dtype=np.int64)
    started = time.perf_counter()
    sampler[0].sample(positions % len(train.class_names), positions, positions)
    per_image = (time.perf_counter() - started) / len(positions)
    return per_step * float(options["steps"] or size.steps), per_image


def _missing_pools(new: Sequence[Trial], store: Path) -> dict[str, Trial]:
    """Return the trial that needs the most images of each missing pool, by the pool's key."""
    found: dict[str, Trial] = {}
    for trial in new:
        identity = trial.pool()
        if identity is None or (store / "pools" / identity.key).exists():
            continue
        largest = found.get(identity.key, trial)
        found[identity.key] = max(largest, trial, key=lambda each: each.n_syn_plus)
    return found


def _pool_seconds(new: Sequence[Trial], settings: Settings) -> dict[str, float | None]:
    pilots: dict[str, tuple[float, float] | None] = {}
    seconds: dict[str, float | None] = {}
    for key, trial in _missing_pools(new, settings.store).items():
        generator = trial.generator and trial.generator.describe()
        kind = digest([generator, trial.dataset.describe()])
        if kind not in pilots:
            pilots[kind] = _pool_pilot(trial, settings)
        pilot = pilots[kind]
        seconds[key] = None if pilot is None else pilot[0] + pilot[1] * trial.n_syn_plus
    return seconds


def estimate(new: Sequence[Trial], known: Mapping[str, Trial], settings: Settings) -> Estimate:
    """Estimate the time that new trials and their missing pools take.

    Args:
        new: trials to run.
        known: all trials of the grid, by hash; the speed comes from those that are in the store.
        settings: store, data folder and device.
    """
    import torch

    torch.set_num_threads(1)
    settings = replace(settings, device=device_named(settings.device))
    speeds = _seconds_an_image(known, Store(settings.store))
    history = set(speeds)
    for trial in new:
        if _kind(trial) not in speeds:
            speeds[_kind(trial)] = _pilot(trial, settings)
    by_trial = {trial.key: speeds[_kind(trial)] * _images_seen(trial) for trial in new}
    source = "finished trials of the same kind" if history else "a pilot of a few steps on this machine"
    return Estimate(by_trial, _pool_seconds(new, settings), source)
