"""Calling an evaluation with the images that it takes: the test set, or all images of the trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mousterian.data.image_set import TrialImages
from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.plugins.choice import name_and_options
from mousterian.plugins.spec import Plugin
from mousterian.training.observer import Observer

_ALL, OBSERVES = "evaluate_trial", "observe"


def score(
    plugin: Plugin, options: Mapping[str, Any], model: nn.Module, images: TrialImages, device: torch.device
) -> dict[str, Any]:
    """Return the result columns of an evaluation plug-in for a trained model.

    Args:
        plugin: an evaluation; its function `evaluate` gets the test images, `evaluate_trial` all images.
        options: value of each of its options.
        model: the trial's, trained.
        images: of the trial.
        device: to evaluate on.
    """
    given = images if plugin.function == _ALL else images.test
    return dict(plugin.load()(model, given, device, **options, **plugin.preset))


def observer(
    plugin: Plugin, options: Mapping[str, Any], images: TrialImages, device: torch.device
) -> Observer | None:
    """Return the evaluation's observer of the trial's training; None if it evaluates the trained model."""
    if plugin.function != OBSERVES:
        return None
    found: Observer = plugin.load()(images, device, **options, **plugin.preset)
    return found


def evaluation_stamp(data_dir: Path, *, evaluation: str | Mapping[str, Any] = "accuracy") -> str:
    """Return the stamp of an evaluation that an option of another one names."""
    plugin, options = named(evaluation)
    return plugin.stamp(data_dir, options)


def evaluation_revisions(*, evaluation: str | Mapping[str, Any] = "accuracy") -> list[int]:
    """Return the revision of an evaluation that an option of another one names."""
    plugin, options = named(evaluation)
    return [plugin.revision(options)]


def named(evaluation: str | Mapping[str, Any]) -> tuple[Plugin, dict[str, Any]]:
    """Return an evaluation plug-in and its options, from its name or a table with its name and options.

    Raises:
        InputError: no such evaluation or option, or one that observes training, so that it cannot be nested
            in another evaluation.
    """
    name, options = name_and_options(evaluation)
    plugin = registry.find("evaluations", name)
    if plugin.function == OBSERVES:
        raise InputError(
            f"{plugin.name} observes the classifier during training, so no other evaluation can contain it",
            hint="list it by itself under `evaluation`",
        )
    return plugin, plugin.resolve(options)
