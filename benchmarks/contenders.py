"""The contenders of train.py: methods to train and score trials of one cell."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import plain_loop
import torch
from torch import nn

from mousterian.data import subsets
from mousterian.data.image_set import ImageSet
from mousterian.data.loading import load_images
from mousterian.plugins import registry
from mousterian.plugins.choice import Choice
from mousterian.seeds import seed_for
from mousterian.store import rows
from mousterian.training import loop
from mousterian.training.evaluations.accuracy import evaluate
from mousterian.training.feed import Stream
from mousterian.training.mixture import Mixture
from mousterian.training.recipes import recipe
from mousterian.trials import identity
from mousterian.trials.run import run_trial
from mousterian.trials.settings import Settings


@dataclass(frozen=True)
class Setting:
    """What every contender trains, and for how long."""

    device: str
    data: str
    size: int
    model: str
    recipe: str
    changes: str
    trials: int
    seconds: float

    @property
    def chosen(self) -> Any:
        return recipe(self.recipe, json.loads(self.changes))

    @property
    def place(self) -> torch.device:
        return torch.device(self.device)


def images(setting: Setting) -> tuple[ImageSet, ImageSet]:
    """Return the mixture's training set and the test set."""
    folder = Path(setting.data)
    if setting.data == "noise":
        random = np.random.default_rng(0)
        arrays = [random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (setting.size, 10_000)]
        names = tuple("0123456789")
        return tuple(ImageSet(each, np.arange(len(each)) % 10, names) for each in arrays)  # type: ignore[return-value]
    if folder.is_dir():
        sets = []
        for split in ("train", "test"):
            pixels, labels = (np.load(folder / f"{split}_{what}.npy") for what in ("images", "labels"))
            sets.append(ImageSet(pixels, labels.ravel(), tuple(map(str, range(int(labels.max()) + 1)))))
        train, test = sets
    else:
        choice = Choice(setting.data, {})
        train, test = (load_images(choice, split, None) for split in ("train", "test"))
    order = subsets.ordering(train.labels, len(train.class_names), 0)
    return train.take(order[: setting.size]), test


def network(setting: Setting, train: ImageSet) -> nn.Module:
    plugin = registry.find("models", setting.model)
    built: nn.Module = plugin.load()(
        len(train.class_names), train.shape, **plugin.resolve({}), **plugin.preset
    )
    return built


class Contender:
    """One method of training; `run` trains and scores a trial for each seed."""

    def __init__(self, kind: str, count: int, setting: Setting) -> None:
        self.kind, self.count, self.setting = kind, count, setting
        self.train, self.test = images(setting)
        self.train_seconds = 0.0
        self.seen = 0

    def run(self, seeds: list[int]) -> list[float]:
        """Return the accuracy of each seed's trial."""
        methods = {"plain": self._plain, "grid": self._grid}
        return methods.get(self.kind, self._one_by_one)(seeds)

    def prepared(self, seed: int, acceleration: str, key: str = "bench") -> tuple[loop.Normalised, loop.Task]:
        mixture = Mixture.of(self.train, self.setting.place)
        task = loop.Task(mixture, len(mixture), self.setting.chosen, self.setting.place, seed)
        task = replace(task, acceleration=acceleration, key=key)
        torch.manual_seed(seed_for("initialisation", seed))
        return loop.prepare(network(self.setting, self.train), task), task

    def _scored(self, model: loop.Normalised, cost: loop.Cost | loop.Diverged) -> float:
        if isinstance(cost, loop.Diverged):
            cost = cost.cost
        self.train_seconds += cost.seconds
        self.seen += cost.images_seen
        return float(evaluate(model, self.test, self.setting.place)["top1"])

    def _trained(self, seed: int, acceleration: str, key: str = "bench") -> float:
        model, task = self.prepared(seed, acceleration, key)
        return self._scored(model, loop.train(model, [Stream(task.mixture, task.recipe.batch_size)], task))

    def _one_by_one(self, seeds: list[int]) -> list[float]:
        return [self._trained(seed, self.kind) for seed in seeds]

    def _plain(self, seeds: list[int]) -> list[float]:
        found = []
        for seed in seeds:
            torch.manual_seed(seed_for("initialisation", seed))
            model, chosen, place = network(self.setting, self.train), self.setting.chosen, self.setting.place
            if hasattr(model, "initialise_from"):
                shown = plain_loop.Transformed(self.train, plain_loop.transforms(self.train, chosen)[1])
                model.initialise_from(torch.stack([shown[i][0] for i in range(min(2000, len(shown)))]))
            started = time.perf_counter()
            self.seen += plain_loop.train(model, self.train, chosen, place, seed, self.count)
            self.train_seconds += time.perf_counter() - started
            found.append(plain_loop.accuracy(model, self.train, self.test, chosen, place, self.count))
        return found

    def _grid(self, seeds: list[int]) -> list[float]:
        folder = Path(tempfile.gettempdir(), f"mousterian-benchmark-{os.getpid()}")
        folder.mkdir(exist_ok=True)
        if not (folder / "data.npz").exists():
            parts = {"train": self.train, "test": self.test}
            arrays = {f"{k}_{w}": getattr(v, w) for k, v in parts.items() for w in ("images", "labels")}
            np.savez(folder / "data.npz", **arrays)
        settings = Settings(folder / "store", folder, self.setting.device, "benchmark")
        found = []
        for seed in seeds:
            given = self._grid_trial(seed, folder)
            (row,) = run_trial(given, settings)
            rows.Store(settings.store).write([row])
            self.train_seconds += row["train_seconds"]
            self.seen += row["images_seen"]
            found.append(row["top1"])
        return found

    def _grid_trial(self, seed: int, folder: Path) -> identity.Trial:
        plugin = registry.find("models", self.setting.model)
        return identity.Trial(
            dataset=identity.DatasetChoice.of(registry.find("datasets", "npz"), {"path": "data.npz"}, folder),
            imbalance=1.0,
            n_base=len(self.train),
            n_real_plus=0,
            n_syn_plus=0,
            generator=None,
            model=Choice(self.setting.model, plugin.resolve({})),
            strategy=Choice("joint", {}),
            recipe=self.setting.chosen.model_dump(mode="json"),
            evaluations=(Choice("accuracy", {"batch_size": 1000}),),
            subset_seed=0,
            training_seed=seed,
        )
