"""The stored trials of a fit's arm: columns that the fit does not keep."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mousterian.errors import InputError
from mousterian.fitting.arms import arms
from mousterian.fitting.versions import of_version
from mousterian.store.rows import Store
from mousterian.store.versions import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from mousterian.fitting.result import Fit


def arm_rows(fit: Fit, store: str) -> pd.DataFrame:
    """Return the finished trials of a fit's arm, of the version that was fitted, as the store has them.

    Raises:
        InputError: no store is given, it cannot be read, or it has no such arm.
    """
    if not store:
        raise InputError("needs the store's trials", hint="name the store: --store FOLDER")
    every = every_row(store)
    for column, nothing in COLUMNS.items():
        every = every[of_version(every, column, fit.labels.get(column, nothing))]
    for labels, rows in arms(every).values():
        if labels == dict(fit.labels):
            return rows
    raise InputError("the store has no trials of this fit's arm", where=store)


def every_row(store: str) -> pd.DataFrame:
    """Return all rows of a store, cached until its files change."""
    folder = Path(store)
    changed = tuple(
        part.stat().st_mtime_ns if (part := folder / name).is_dir() else 0 for name in ("trials", "compact")
    )
    return _read(folder, changed)


@lru_cache(maxsize=2)
def _read(folder: Path, changed: tuple[int, ...]) -> pd.DataFrame:
    return Store(folder).read()
