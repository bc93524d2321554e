"""Which test images the trials behind saved fits classified correctly, from a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mousterian.errors import InputError, unknown_name
from mousterian.fitting.arms import read_arms
from mousterian.fitting.columns import COUNTS
from mousterian.fitting.image_sampling import by_group
from mousterian.store.predictions import PredictionFiles

_KEYS = [*COUNTS, "subset_seed", "training_seed", "generator_seed"]
# Saved accuracies are rounded.
_SAME = 1e-6


class ArmPredictions:
    """The predictions of a store's arms.

    Args:
        store: folder of the store that fits were made of.

    Raises:
        InputError: there is no such store, or it has no finished trial.
    """

    def __init__(self, store: Path) -> None:
        self._store, self._files = store, PredictionFiles(store)
        self._arms = {arm.name: arm.rows for arm in read_arms([str(store)], Path(), ())[0]}

    def correct(
        self, first: tuple[str, pd.DataFrame], second: tuple[str, pd.DataFrame]
    ) -> tuple[pd.DataFrame, pd.DataFrame] | None:
        """Return which of N test images the trials of two arms classified correctly, (rows, N) float32 each.

        Where images have groups, there is a value for each group (`fitting.image_sampling.by_group`).

        None where a trial has no side file, where they were tested on different images, or where their
        accuracy is no share of these images.

        Args:
            first: an arm's name, and rows of its fit with synthetic images.
            second: another's.

        Raises:
            InputError: the store has no such arm, or other trials than the fit.
        """
        found = [self._trials(*each) for each in (first, second)]
        both = pd.concat(found, ignore_index=True)
        images = self._files.correct(both)
        if images is None or not images.known.all():
            return None
        if (np.abs(images.correct.mean(axis=1) - both["accuracy"]) > _SAME).any():
            return None
        rows = np.split(by_group(images.correct, images.groups), [len(found[0])])
        one, two = (
            pd.DataFrame(part, index=at[1].index) for part, at in zip(rows, (first, second), strict=True)
        )
        return one, two

    def _trials(self, name: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the store's rows of a fit's rows."""
        if name not in self._arms:
            raise unknown_name("arm", name, self._arms, where=str(self._store))
        there = self._arms[name].astype(dict.fromkeys(_KEYS, float))
        found = rows[[*_KEYS, "accuracy"]].merge(there, on=_KEYS, how="left", suffixes=("_fitted", ""))
        same = np.abs(found["accuracy"] - found["accuracy_fitted"]) < _SAME
        if len(found) != len(rows) or not same.all():
            raise InputError(
                f"the trials of the fit {name!r} are not in this store",
                where=str(self._store),
                hint="name the store that the fit was made of, or run `mousterian fit` again",
            )
        return found
