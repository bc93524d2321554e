"""What `mousterian store export` does: the rows of some grids as a store of their own, to be published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mousterian import grid
from mousterian.errors import InputError
from mousterian.qualityfiles import QualityTable
from mousterian.store import Store


@dataclass(frozen=True)
class Exported:
    """What went into a new store: its folder, trials, how many of the grids' are not there, measurements."""

    store: Path
    trials: int
    missing: int
    measurements: int


def export(files: Sequence[Path], store: Path, out: Path, data_dir: Path | None = None) -> Exported:
    """Write the rows of grids' trials, and what was measured of their pools, to a new store.

    Rows are in one file, as after `compact`; the same rows give the same bytes. Pools are not copied.

    Args:
        files: the grid files.
        store: folder of the store that has their trials.
        out: folder of the new store.
        data_dir: folder of the datasets, None for the default.

    Raises:
        InputErrors: everything that is wrong in a grid file.
        InputError: no file is named, the new store is not new, none of the trials is there, or a file cannot
            be read or written.
    """
    if not files:
        raise InputError("no grid file is named", hint="mousterian store export GRID.toml --out FOLDER")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("there is something already", where=f"--out {out}", hint="name a new folder")
    asked = {trial.key for file in files for trial in grid.read(file, None, data_dir)[0]}
    rows = Store(store).read()
    rows = rows[rows["trial"].isin(list(asked))]
    if rows.empty:
        named = ", ".join(map(str, files))
        raise InputError(f"no trial of {named} is in it", where=f"--store {store}", hint="run the grid first")
    Store(out).write_frame(rows)
    measurements = QualityTable(store).copy(set(rows["pool"]) - {""}, out)
    trials = rows["trial"].nunique()
    return Exported(out, trials, len(asked) - trials, measurements)
