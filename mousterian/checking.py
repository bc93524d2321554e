"""Before a grid runs, its plug-ins look at what they would be asked to do, and refuse what cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mousterian import plugins
from mousterian.errors import InputError, unknown_name
from mousterian.images import TrialImages
from mousterian.pools import BASE
from mousterian.seeds import canonical
from mousterian.supply import load_images

if TYPE_CHECKING:
    from torch import nn

    from mousterian.trial import Choice, Trial


def what_matters(trial: Trial) -> tuple[str, ...]:
    """Return what a strategy's check of a trial depends on; trials that agree in it are checked once."""
    sizes = str((trial.n_base + trial.n_real_plus, trial.n_syn_plus))
    return trial.strategy.text, trial.model.text, trial.dataset.text, trial.recipe_text, sizes


def check_strategy(trial: Trial, data_dir: Path | None) -> None:
    """Let the trial's strategy look at what it would train.

    Raises:
        InputError: it refuses.
    """
    plugin = plugins.find("strategies", trial.strategy.name)
    if not plugin.has_check:
        return
    from mousterian.training.proposal import Proposal
    from mousterian.training.recipes import Recipe

    train = load_images(trial.dataset, "train", data_dir)
    proposal = Proposal(
        n_real=trial.n_base + trial.n_real_plus,
        n_syn_plus=trial.n_syn_plus,
        class_names=train.class_names,
        recipe=Recipe.model_validate(dict(trial.recipe)),
        model=trial.model.name,
        network=lambda: _network(_Untrained(trial.model), len(train.class_names), train.shape),
    )
    plugin.check(proposal, trial.strategy.options)


def check_model(trial: Trial, data_dir: Path | None) -> None:
    """Let the trial's model look at the size of the images that it would be given.

    Raises:
        InputError: it refuses.
    """
    plugin = plugins.find("models", trial.model.name)
    if plugin.has_check:
        plugin.check(load_images(trial.dataset, "train", data_dir).shape, trial.model.options)


def check_evaluations(trial: Trial, data_dir: Path | None) -> None:
    """Let the trial's evaluations look at the images that they would be asked about.

    Raises:
        InputError: one refuses.
    """
    for each in trial.evaluations:
        plugin = plugins.find("evaluations", each.name)
        if plugin.has_check:
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

    plugin = plugins.find("models", model.name)
    with torch.random.fork_rng(devices=[]):
        network: nn.Module = plugin.load()(classes, shape, **model.options, **plugin.preset)
    return network
