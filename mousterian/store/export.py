"""What `mousterian store export` does: the rows of some grids as a store of their own, to be published."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from mousterian.errors import InputError
from mousterian.store.quality import QualityTable
from mousterian.store.rows import Store


@dataclass(frozen=True)
class Exported:
    """What went into a new store: its folder, trials, how many asked for are not there, measurements."""

    store: Path
    trials: int
    missing: int
    measurements: int


def export_trials(asked: Set[str], store: Path, out: Path) -> Exported:
    """Write the rows of trials, and what was measured of their pools, to a new store.

    Rows are in one file, as after `compact`; the same rows give the same bytes. Pools are not copied.

    Args:
        asked: the keys of the trials.
        store: folder of the store that has them.
        out: folder of the new store.

    Raises:
        InputError: the new store is not new, none of the trials is there, or a file cannot be read or
            written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("there is something already", where=f"--out {out}", hint="name a new folder")
    rows = Store(store).read()
    rows = rows[rows["trial"].isin(list(asked))]
    if rows.empty:
        raise InputError("none of the trials is in it", where=f"--store {store}", hint="run the grid first")
    Store(out).write_frame(rows)
    measurements = QualityTable(store).copy(set(rows["pool"]) - {""}, out)
    trials = rows["trial"].nunique()
    return Exported(out, trials, len(asked) - trials, measurements)
