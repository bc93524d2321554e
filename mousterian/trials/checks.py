"""Checks before a grid runs: sizes, splits, classes, and what each plug-in itself refuses."""

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
from mousterian.synthesis.pool_identity import BASE
from mousterian.trials import grid_file, leaks
from mousterian.trials.grid_file import Source
from mousterian.trials.identity import Trial
from mousterian.trials.images import generator_indices, unseen_labels

if TYPE_CHECKING:
    from torch import nn


def _strategy_check_key(trial: Trial) -> tuple[str, ...]:
    """Return all that a strategy's check depends on; trials with the same key are checked once."""
    sizes = str((trial.n_base + trial.n_real_plus, trial.n_syn_plus))
    return trial.strategy.text, trial.model.text, trial.dataset.text, trial.recipe_text, sizes


def check_strategy(trial: Trial, data_dir: Path | None) -> None:
    """Let the trial's strategy check what it would train on.

    Raises:
        InputError: the strategy refuses.
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
        network=lambda: _network(_Architecture(trial.model), len(train.class_names), train.shape),
    )
    plugin.check(setup, trial.strategy.options)


def check_model(trial: Trial, data_dir: Path | None) -> None:
    """Let the trial's model check the shape of the images that it would be given.

    Raises:
        InputError: the model refuses.
    """
    plugin = registry.find("models", trial.model.name)
    if "check" in plugin.parts:
        plugin.check(load_images(trial.dataset, "train", data_dir).shape, trial.model.options)


def check_evaluations(trial: Trial, data_dir: Path | None) -> None:
    """Let the trial's evaluations check the images that they would be given.

    Raises:
        InputError: an evaluation refuses.
    """
    for each in trial.evaluations:
        plugin = registry.find("evaluations", each.name)
        if "check" in plugin.parts:
            train, test = (load_images(trial.dataset, split, data_dir) for split in ("train", "test"))
            none = np.zeros(0, dtype=np.int64)
            images = TrialImages(train, test, none, None, 0, 0, data_dir, trial.dataset.unseen)
            plugin.check(images, each.options)


def check_classes(trial: Trial, data_dir: Path | None) -> None:
    """Refuse unseen classes that do not exist, are too few or too many, or that the generator cannot draw.

    Raises:
        InputError: with the closest name, or what to do.
    """
    names = load_images(trial.dataset, "train", data_dir).class_names
    unseen, generator = trial.dataset.unseen, trial.generator
    for name in unseen:
        if name not in names:
            raise unknown_name("class", name, names, hint="unseen_classes names classes of the dataset")
    if unseen and not 2 <= len(unseen) <= len(names) - 2:
        raise InputError(
            f"{len(unseen)} of {len(names)} classes are unseen: there must be two or more of each kind"
        )
    if unseen and generator and generator.trained_on == BASE:
        raise InputError(
            f"{generator.name} is trained on S_base, which has no images of the unseen classes",
            hint='set trained_on = "upstream" and n_upstream, or take a generator trained elsewhere',
        )


class _Architecture:
    """A model without its pretrained weights, which do not change its layers; a key of the cache below."""

    def __init__(self, choice: Choice) -> None:
        self.name = choice.name
        untrained = {"pretrained": False} if "pretrained" in choice.options else {}
        self.options: Mapping[str, Any] = {**choice.options, **untrained}
        self._text = canonical([self.name, dict(self.options)])

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Architecture) and other._text == self._text


@lru_cache(maxsize=4)
def _network(model: _Architecture, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    import torch

    plugin = registry.find("models", model.name)
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = plugin.load()(classes, shape, **model.options, **plugin.preset)
    return network


def check_sizes(trials: Sequence[Trial], source: Source, data_dir: Path | None) -> None:
    """Refuse, all at once, datasets whose splits do not match and trials whose subsets do not fit.

    Raises:
        InputErrors: each such dataset, each impossible size, located at n_base or at the generator, and
            each mixture that a strategy refuses.
    """
    errors = grid_file.ErrorCollector(source)
    sets = {(trial.dataset.name, trial.dataset.json): trial for trial in trials}.values()
    for trial in sets:
        errors.attempt(("dataset",), partial(check_splits, trial.dataset, data_dir))
    errors.raise_all()
    for trial in sets:
        errors.attempt(("dataset",), partial(leaks.check_set, trial, data_dir))
    for trial in {(t.dataset.text, t.generator and t.generator.text): t for t in trials}.values():
        errors.attempt(("dataset",), partial(check_classes, trial, data_dir))
    errors.raise_all()
    for trial in {_subsets_check_key(trial): trial for trial in trials}.values():
        upstream = trial.generator is not None and trial.generator.n_upstream
        errors.attempt(("generator",) if upstream else ("n_base",), partial(check_subsets, trial, data_dir))
    errors.raise_all()
    for trial in {(trial.model.text, trial.dataset.text): trial for trial in trials}.values():
        errors.attempt(("model",), partial(check_model, trial, data_dir))
    errors.raise_all()
    for trial in {_strategy_check_key(trial): trial for trial in trials}.values():
        errors.attempt(("strategy",), partial(check_strategy, trial, data_dir))
    for trial in {trial.dataset.text: trial for trial in trials}.values():
        errors.attempt(("evaluation",), partial(check_evaluations, trial, data_dir))
    errors.raise_all()


def _subsets_check_key(trial: Trial) -> tuple[object, ...]:
    """Return all that the trial's subsets depend on; trials with the same key are checked once."""
    sizes = (trial.n_base, trial.n_real_plus, trial.generator.n_upstream if trial.generator else 0)
    return trial.dataset.name, trial.dataset.json, trial.subset_seed, trial.imbalance, sizes


def check_subsets(trial: Trial, data_dir: Path | None) -> None:
    """Refuse a base set, real additions or upstream images that do not fit in the training images.

    Raises:
        InputError: they do not.
    """
    train = load_images(trial.dataset, "train", data_dir)
    sizes = (len(train.class_names), trial.n_base, trial.n_real_plus, trial.imbalance)
    check_balance(train.labels, *sizes, unseen_labels(trial, train))
    generator_indices(trial, train)


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
            hint="both splits need images of one size",
        )
    if train.class_names != test.class_names:
        differing = sorted(set(train.class_names) ^ set(test.class_names))[:5]
        raise InputError(
            f"the training and the test images of {dataset.name!r} have different classes"
            + (f": {', '.join(differing)} are in one split only" if differing else ", or in another order")
        )
