"""Export the rows of some grids as a new store, for publication."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from mousterian.errors import InputError
from mousterian.store.predictions import PredictionFiles
from mousterian.store.quality import QualityTable
from mousterian.store.rows import Store


@dataclass(frozen=True)
class Exported:
    """A new store: its folder, trials, requested trials that are missing, and measurements."""

    store: Path
    trials: int
    missing: int
    measurements: int


def export_trials(trials: Set[str], store: Path, out: Path) -> Exported:
    """Write the rows of trials, their side files, and the measurements of their pools, to a new store.

    Rows are in one file, as after `compact`; the same rows give the same bytes. Pools are not copied.

    Args:
        trials: keys of the trials.
        store: folder of their store.
        out: folder of the new store.

    Raises:
        InputError: `out` is not empty, none of the trials is in the store, or a file cannot be read or
            written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "it exists and is not an empty folder", where=f"--out {out}", hint="name a new folder"
        )
    rows = Store(store).read()
    rows = rows[rows["trial"].isin(list(trials))]
    if rows.empty:
        raise InputError("it has none of the trials", where=f"--store {store}", hint="run the grid first")
    Store(out).write_frame(rows)
    PredictionFiles(store).copy(set(rows["trial"]), out)
    measurements = QualityTable(store).copy(set(rows["pool"]) - {""}, out)
    exported = rows["trial"].nunique()
    return Exported(out, exported, len(trials) - exported, measurements)
