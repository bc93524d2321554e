"""Fits of several arms, of which some may be too incomplete to fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mousterian.errors import InputError, InputErrors, error_source
from mousterian.fitting import estimation
from mousterian.fitting.arms import Arm
from mousterian.fitting.columns import named
from mousterian.fitting.image_sampling import ImageSampling
from mousterian.fitting.result import Fit
from mousterian.fitting.understanding import understood
from mousterian.store.predictions import PredictionFiles


def fit_each(arms: Sequence[Arm], refused: list[InputError], **settings: Any) -> Iterator[Fit]:
    """Yield the fit of each arm.

    Args:
        arms: arms to fit.
        refused: why arms are not fitted is added to it, e.g. arms of a running grid.
        settings: surface, bootstrap and seed, as for `mousterian.fit`.

    Raises:
        InputError: no arm can be fitted.
    """
    for arm in arms:
        try:
            with error_source(arm.source):
                made = estimation.fit(
                    understood(named(arm.rows, ours=True)),
                    name=arm.name,
                    labels=arm.labels,
                    sampling=_sampling(arm),
                    warnings=arm.warnings,
                    **settings,
                )
        except InputError as error:
            if len(arms) == 1:
                raise
            what = f"{arm.name} is not fitted: {error.what}"
            refused.append(InputError(what, where=error.where, hint=error.hint))
        else:
            yield made
    if len(refused) == len(arms):
        raise InputErrors(refused)


def _sampling(arm: Arm) -> ImageSampling | None:
    """Return the sampling of an arm's test images; None where its source has no predictions."""
    found = PredictionFiles(arm.source).correct(arm.rows) if arm.source else None
    return ImageSampling.of(found.known, found.correct, found.groups) if found else None
