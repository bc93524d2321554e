"""Fits of several arms, of which some may be too incomplete to fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mousterian.cli.console import console
from mousterian.errors import InputError, InputErrors, error_source
from mousterian.fitting import estimation
from mousterian.fitting.arms import Arm
from mousterian.fitting.result import Fit


def fit_arms(arms: Sequence[Arm], **settings: Any) -> Iterator[Fit]:
    """Yield the fit of each arm; arms that cannot be fitted are reported on the error output.

    Args:
        arms: arms to fit.
        settings: surface, bootstrap and seed, as for `mousterian.fit`.

    Raises:
        InputError: no arm can be fitted.
    """
    refused: list[InputError] = []
    for arm in arms:
        try:
            with error_source(arm.source):
                made = estimation.fit(arm.rows, name=arm.name, labels=arm.labels, **settings)
        except InputError as error:  # e.g. an arm of a running grid: the others are fitted all the same
            if len(arms) == 1:
                raise
            what = f"{arm.name} is not fitted: {error.what}"
            refused.append(InputError(what, where=error.where, hint=error.hint))
        else:
            yield made
    if len(refused) == len(arms):
        raise InputErrors(refused)
    for each in refused:
        console(stderr=True).print(f"mousterian: {each}", highlight=False)
