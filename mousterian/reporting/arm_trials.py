"""The stored trials of a fit's arm: columns that the fit does not keep."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mousterian.errors import InputError
from mousterian.fitting.arms import arms
from mousterian.store.rows import Store

if TYPE_CHECKING:
    import pandas as pd

    from mousterian.fitting.result import Fit


def arm_rows(fit: Fit, store: str) -> pd.DataFrame:
    """Return the finished trials of a fit's arm, one row each, as the store has them.

    Raises:
        InputError: no store is given, it cannot be read, or it has no such arm.
    """
    if not store:
        raise InputError("needs the store's trials", hint="name the store: --store FOLDER")
    for labels, rows in arms(every_row(store)).values():
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
