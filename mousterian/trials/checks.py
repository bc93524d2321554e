"""Before a grid runs, its plug-ins look at what they would be asked to do, and refuse what cannot be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mousterian.data.image_set import TrialImages
from mousterian.data.loading import load_images
from mousterian.data.subsets import check_balance
from mousterian.errors import InputError, unknown_name
from mousterian.plugins import registry
from mousterian.plugins.choice import Choice
from mousterian.seeds import canonical
from mousterian.synthesis.pools import BASE
from mousterian.trials import grid_file
from mousterian.trials.grid_file import Source
from mousterian.trials.identity import Trial
from mousterian.trials.images import generator_indices, unseen_labels

if TYPE_CHECKING:
    from torch import nn


def what_matters(trial: Trial) -> tuple[str, ...]:
    """Return what a strategy's check of a trial depends on; trials that agree in it are checked once."""
    sizes = str((trial.n_base + trial.n_real_plus, trial.n_syn_plus))
    return trial.strategy.text, trial.model.text, trial.dataset.text, trial.recipe_text, sizes


def check_strategy(trial: Trial, data_dir: Path | None) -> None:
    """Let the trial's strategy look at what it would train.

    Raises:
        InputError: it refuses.
    """
    plugin = registry.find("strategies", trial.strategy.name)
    if "check" not in plugin.parts:
        return
    from mousterian.training.recipes import Recipe
    from mousterian.training.strategy_checks import TrainingSetup

    train = load_images(trial.dataset, "train", data_dir)
    setup = TrainingSetup(
        n_real=trial.n_base + trial.n_real_plus,
        n_syn_plus=trial.n_syn_plus,
        class_names=train.class_names,
        recipe=Recipe.model_validate(dict(trial.recipe)),
        model=trial.model.name,
        network=lambda: _network(_Untrained(trial.model), len(train.class_names), train.shape),
    )
    plugin.check(setup, trial.strategy.options)


def check_model(trial: Trial, data_dir: Path | None) -> None:
    """Let the trial's model look at the size of the images that it would be given.

    Raises:
        InputError: it refuses.
    """
    plugin = registry.find("models", trial.model.name)
    if "check" in plugin.parts:
        plugin.check(load_images(trial.dataset, "train", data_dir).shape, trial.model.options)


def check_evaluations(trial: Trial, data_dir: Path | None) -> None:
    """Let the trial's evaluations look at the images that they would be asked about.

    Raises:
        InputError: one refuses.
    """
    for each in trial.evaluations:
        plugin = registry.find("evaluations", each.name)
        if "check" in plugin.parts:
            train, test = (load_images(trial.dataset, split, data_dir) for split in ("train", "test"))
            nothing = np.zeros(0, dtype=np.int64)
            seen = TrialImages(train, test, nothing, None, 0, 0, data_dir, trial.dataset.unseen)
            plugin.check(seen, each.options)


def check_classes(trial: Trial, data_dir: Path | None) -> None:
    """Refuse unseen classes that the dataset has not, too few on a side, and images of them from S_base.

    Raises:
        InputError: with the nearest right name, or the way out.
    """
    names = load_images(trial.dataset, "train", data_dir).class_names
    unseen, generator = trial.dataset.unseen, trial.generator
    for name in unseen:
        if name not in names:
            raise unknown_name("class", name, names, hint="unseen_classes names classes of the dataset")
    if unseen and not 2 <= len(unseen) <= len(names) - 2:
        raise InputError(
            f"{len(unseen)} of {len(names)} classes are unseen: both sides of a split need two or more"
        )
    if unseen and generator and generator.trained_on == BASE:
        raise InputError(
            f"{generator.name} learns from S_base, which has no image of the unseen classes to draw",
            hint='give trained_on = "upstream" with n_upstream, or a generator that was trained elsewhere',
        )


class _Untrained:
    """A model without the weights that it would start from: these change nothing about its layers."""

    def __init__(self, choice: Choice) -> None:
        known = {"pretrained": False}
        self.name = choice.name
        self.options: Mapping[str, Any] = {
            **choice.options,
            **{name: value for name, value in known.items() if name in choice.options},
        }
        self._text = canonical([self.name, dict(self.options)])

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Untrained) and other._text == self._text


@lru_cache(maxsize=4)
def _network(model: _Untrained, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    import torch

    plugin = registry.find("models", model.name)
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = plugin.load()(classes, shape, **model.options, **plugin.preset)
    return network


def check_sizes(trials: Sequence[Trial], source: Source, data_dir: Path | None) -> None:
    """Refuse datasets whose splits do not match and trials whose subsets do not fit, all at once.

    Raises:
        InputErrors: each unfit dataset, each impossible size, placed at n_base or at the generator, and
            each mixture that a strategy refuses.
    """
    faults = grid_file.Faults(source)
    for dataset in {(trial.dataset.name, trial.dataset.json): trial.dataset for trial in trials}.values():
        faults.attempt(("dataset",), partial(check_splits, dataset, data_dir))
    for trial in {(t.dataset.text, t.generator and t.generator.text): t for t in trials}.values():
        faults.attempt(("dataset",), partial(check_classes, trial, data_dir))
    faults.tell()
    seen = set()
    for trial in trials:
        upstream_size = trial.generator.n_upstream if trial.generator else 0
        subset = (trial.subset_seed, trial.imbalance, trial.n_base, trial.n_real_plus, upstream_size)
        sizes = (trial.dataset.name, trial.dataset.json, *subset)
        if sizes in seen:
            continue
        seen.add(sizes)

        def check(trial: Trial = trial) -> None:
            train = load_images(trial.dataset, "train", data_dir)
            sizes = (len(train.class_names), trial.n_base, trial.n_real_plus, trial.imbalance)
            check_balance(train.labels, *sizes, unseen_labels(trial, train))
            generator_indices(trial, train)

        faults.attempt(("generator",) if upstream_size else ("n_base",), check)
    faults.tell()
    for trial in {(trial.model.text, trial.dataset.text): trial for trial in trials}.values():
        faults.attempt(("model",), partial(check_model, trial, data_dir))
    faults.tell()
    for trial in {what_matters(trial): trial for trial in trials}.values():
        faults.attempt(("strategy",), partial(check_strategy, trial, data_dir))
    for trial in {trial.dataset.text: trial for trial in trials}.values():
        faults.attempt(("evaluation",), partial(check_evaluations, trial, data_dir))
    faults.tell()


def check_splits(dataset: Choice, data_dir: Path | None) -> None:
    """Refuse a dataset whose training and test images differ in shape or classes.

    Raises:
        InputError: they do, or the dataset cannot be loaded.
    """
    train, test = (load_images(dataset, split, data_dir) for split in ("train", "test"))
    if train.shape != test.shape:
        raise InputError(
            f"the training images of {dataset.name!r} are {train.shape} and its test images {test.shape}"
            " (height, width, channels)",
            hint="give both the same size",
        )
    if train.class_names != test.class_names:
        odd = sorted(set(train.class_names) ^ set(test.class_names))[:5]
        raise InputError(
            f"the training and the test images of {dataset.name!r} have different classes"
            + (f": {', '.join(odd)} are in one only" if odd else ", or the same in another order")
        )
