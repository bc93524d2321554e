"""Fits of several arms; of those that cannot be fitted, the error output says why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mousterian.cli.console import console
from mousterian.errors import InputError
from mousterian.fitting.arm_fits import fit_each
from mousterian.fitting.arms import Arm
from mousterian.fitting.result import Fit


def fit_arms(arms: Sequence[Arm], **settings: Any) -> Iterator[Fit]:
    """Yield the fit of each arm; arguments and errors are those of `fit_each`."""
    refused: list[InputError] = []
    yield from fit_each(arms, refused, **settings)
    for each in refused:
        console(stderr=True).print(f"mousterian: {each}", highlight=False)
