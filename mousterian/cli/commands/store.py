"""`mousterian store`: list, verify, compact and export a store."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING

from mousterian.cli.commands import EXIT_BAD_INPUT, EXIT_DONE, STORE
from mousterian.cli.console import console, plural, print_json, table
from mousterian.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# The plug-ins whose options distinguish cells with plug-ins of the same names.
_KINDS = ("dataset", "model", "strategy", "recipe", "generator", "evaluation")

_CELL = [
    *("dataset", "model", "strategy", "recipe", "generator", "trained_on"),
    *("n_base", "n_real_plus", "n_syn_plus"),
    *("code_revisions", "content_stamps"),
]


def ls(*, store: Path = STORE, json: bool = False) -> int:
    """List the cells of a store: trials by status, mean accuracy and its spread.

    Parameters
    ----------
    store
        Folder of the store.
    json
        Print as JSON.
    """
    from mousterian.plugins.differences import differences
    from mousterian.store.rows import Store
    from mousterian.store.schema import DONE, STATUSES

    frame = Store(store).read()
    for status in STATUSES:
        frame[status] = frame["status"] == status
    frame["top1"] = frame["top1"].where(frame[DONE])
    for kind in _KINDS:
        frame[f"{kind}_options"] = differences(list(zip(frame[kind], frame[f"{kind}_options"], strict=True)))
    rows = _cells(frame)
    if json:
        return print_json(json_module.loads(rows.to_json(orient="records")))
    shown = [row | {"top-1 %": row.pop("top1"), "± %": row.pop("spread")} for row in rows.to_dict("records")]
    console().print(
        table(str(store), shown, keep=("n_base", "n_real_plus", "n_syn_plus", "done", "failed", "top-1 %"))
    )
    return EXIT_DONE


def _cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each cell: trials by status, mean top-1 accuracy of those done and its spread."""
    from mousterian.store.schema import DIVERGED, DONE, FAILED

    options = [f"{kind}_options" for kind in _KINDS if frame[f"{kind}_options"].any()]
    grouped = frame.groupby([*_CELL, *options, "cell", "evaluation"], sort=True)
    return (
        grouped.agg(
            done=(DONE, "sum"),
            diverged=(DIVERGED, "sum"),
            failed=(FAILED, "sum"),
            top1=("top1", "mean"),
            spread=("top1", "std"),
        )
        .reset_index()
        .drop(columns="cell")
    )


def compact(*, store: Path = STORE, json: bool = False) -> int:
    """Merge the files of all trials into one.

    Parameters
    ----------
    store
        Folder of the store.
    json
        Print as JSON.
    """
    from mousterian.store.rows import Store

    joined = Store(store).compact()
    if json:
        return print_json({"store": str(store), "joined": joined})
    print(f"{plural(joined, 'trial file')} merged")
    return EXIT_DONE


def verify(*, store: Path = STORE, json: bool = False) -> int:
    """Read every file of a store, its pools and quality tables included, and list the damaged ones.

    Parameters
    ----------
    store
        Folder of the store.
    json
        Print as JSON.
    """
    from mousterian.store.predictions import PredictionFiles
    from mousterian.store.quality import QualityTable
    from mousterian.store.rows import Store
    from mousterian.synthesis import pools

    faults = [*Store(store).verify(), *pools.verify(store / "pools"), *QualityTable(store).verify()]
    faults += PredictionFiles(store).verify()
    if json:
        print_json([{"file": str(path), "fault": fault} for path, fault in faults])
    else:
        print(
            "".join(f"{path}: {fault}\n" for path, fault in faults)
            + f"{plural(len(faults), 'fault')} in {store}"
        )
    return EXIT_BAD_INPUT if faults else EXIT_DONE


def export(*grids: Path, out: Path, store: Path = STORE, json: bool = False) -> int:
    """Write the rows of grids, and the quality of their pools, as a new store for publication.

    Parameters
    ----------
    grids
        The grid files (TOML) whose trials to export.
    out
        Folder of the new store.
    store
        Folder of the store with the trials.
    json
        Print as JSON.
    """
    from mousterian.store.export import export_trials
    from mousterian.trials import grid

    if not grids:
        raise InputError("no grid file is named", hint="mousterian store export GRID.toml --out FOLDER")
    keys = {trial.key for file in grids for trial in grid.read(file)[0]}
    found = export_trials(keys, store, out)
    if json:
        return print_json({**vars(found), "store": str(found.store)})
    missing = f" ({found.missing} more are not in {store})" if found.missing else ""
    measurements = plural(found.measurements, "measurement")
    print(f"{plural(found.trials, 'trial')}{missing} and {measurements} of pools: {found.store}")
    return EXIT_DONE
