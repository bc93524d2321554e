"""Checks of a strategy's settings before anything is generated or trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from mousterian.errors import InputError
from mousterian.training.recipes import Recipe


@dataclass(frozen=True)
class TrainingSetup:
    """What a trial would train on, for a strategy's `check(setup, *, ...)`.

    Attributes:
        n_real: number of images of S_base and real additions.
        n_syn_plus: number of synthetic images added.
        class_names: of the dataset, in label order.
        recipe: the trial's.
        model: the model's name in the grid file.
        network: builds the model, without its pre-trained weights.
    """

    n_real: int
    n_syn_plus: int
    class_names: tuple[str, ...]
    recipe: Recipe
    model: str
    network: Callable[[], nn.Module]


def check_share(setup: TrainingSetup, share: float) -> None:
    """Refuse an impossible share of synthetic images in a batch.

    Raises:
        InputError: it is not between 0 and 1, is 1 without synthetic images, or leaves a source no image.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share is the synthetic fraction of a batch, 0 to 1, not {share}")
    if share == 1:
        check_synthetic(setup, "a share of 1", instead="choose a share below 1, or ")
    batch = min(setup.recipe.batch_size, setup.n_real + setup.n_syn_plus)
    if setup.n_syn_plus and 0 < share < 1 and batch < 2:
        raise InputError(
            "a batch of one image cannot be shared by real and synthetic images",
            hint="set the recipe's batch_size to 2 or more",
        )


def check_weight(name: str, weight: float) -> None:
    """Refuse a weight of a loss that is negative or not a number."""
    if not 0 <= weight < float("inf"):
        raise InputError(f"{name} is a loss weight: 0 or more, not {weight}")


def check_synthetic(setup: TrainingSetup, what: str, *, instead: str = "") -> None:
    """Refuse a mixture without synthetic images where an option trains on these alone."""
    if not setup.n_syn_plus:
        raise InputError(
            f"{what} trains on synthetic images alone, and one of the mixtures has none",
            hint=f"{instead}list the mixtures as [[cell]], each with n_syn_plus",
        )


def check_batch(*sizes: int | None) -> None:
    """Refuse batches of no images; None is the recipe's size."""
    for size in sizes:
        if size is not None and size < 1:
            raise InputError(f"a batch has at least one image, not {size}")


def check_prompt(prompt: str) -> None:
    """Refuse a prompt that does not name the class."""
    if "{}" not in prompt:
        raise InputError(f"the prompt {prompt!r} has no place for the class name", hint="write {} there")
