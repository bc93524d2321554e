"""Heads initialised from class names, and targets softened by CLIP's scores."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.errors import InputError
from mousterian.training.loop import Normalised
from mousterian.training.mixture import Mixture
from mousterian.training.strategy_checks import TrainingSetup, check_prompt

_BATCH = 256


def check_texts(setup: TrainingSetup, prompt: str) -> None:
    """Refuse a head from texts without class names, or for a model without a text encoder.

    Raises:
        InputError: with a remedy.
    """
    check_prompt(prompt)
    if all(name.strip().isdecimal() or not name.strip() for name in setup.class_names):
        some = ", ".join(repr(name) for name in setup.class_names[:3])
        raise InputError(
            f"a head from texts needs class names that are words, and these are {some}, …",
            hint='name the classes in the data, or use the strategy fine_tune with head = "fresh"',
        )
    if not hasattr(setup.network(), "start_from_texts"):
        raise InputError(
            f"a head from texts needs a model with a text encoder; {setup.model!r} has none",
            hint='use the model clip, or the strategy fine_tune with head = "fresh"',
        )


def start_from_texts(network: nn.Module, class_names: tuple[str, ...], prompt: str) -> None:
    """Initialise the network's head from one prompt per class."""
    start: Callable[[list[str]], None] = getattr(network, "start_from_texts")  # noqa: B009 (mypy types a module's attributes as tensors)
    start([prompt.replace("{}", name) for name in class_names])


@torch.no_grad()
def scores(model: Normalised, mixture: Mixture) -> Tensor:
    """Return the model's logits (N, classes) for all images of a mixture, without augmentation."""
    model.eval()
    parts = torch.split(torch.arange(len(mixture), device=mixture.rows.device), _BATCH)
    return torch.cat([model(mixture.images(part)).float() for part in parts])


def soft_targets(labels: Tensor, clip_scores: Tensor, temperature: float, share: float) -> Tensor:
    """Return targets (N, classes) whose cross-entropy is (1 - share) · CE + share · SCE (He et al., A.5).

    CE is the cross-entropy of the labels, SCE that of the CLIP scores softened by the temperature; both are
    linear in the target, so one target serves.

    Args:
        labels: (N,) int64.
        clip_scores: (N, classes) logits.
        temperature: divisor of these (2 in the paper).
        share: weight of SCE in the loss (0.5 in the paper).
    """
    hard = functional.one_hot(labels, clip_scores.shape[1]).float()
    return (1 - share) * hard + share * torch.softmax(clip_scores / temperature, dim=1)
