"""`mousterian store`: what can be done with a store."""

from __future__ import annotations

import json
from pathlib import Path

from mousterian.cli.commands import STORE
from mousterian.cli.console import console, print_json, table
from mousterian.plugins.differences import differences

# Whose options tell cells apart that have the same names.
_KINDS_OF_OPTIONS = ("dataset", "model", "strategy", "recipe", "generator", "evaluation")


def ls(*, store: Path = STORE, json: bool = False) -> int:
    """List the cells of a store: trials by status, mean accuracy and its spread.

    Parameters
    ----------
    store
        Folder of the store.
    json
        Print as JSON.
    """

    return _cells(store, json)


def compact(*, store: Path = STORE, json: bool = False) -> int:
    """Join the files of all trials into one.

    Parameters
    ----------
    store
        Folder of the store.
    json
        Print as JSON.
    """
    from mousterian.cli.console import print_json
    from mousterian.store.rows import Store

    joined = Store(store).compact()
    if json:
        return print_json({"store": str(store), "joined": joined})
    print(f"{joined} trial files joined")
    return 0


def verify(*, store: Path = STORE, json: bool = False) -> int:
    """Read every file of a store, its pools and their quality too, and name those that are not sound.

    Parameters
    ----------
    store
        Folder of the store.
    json
        Print as JSON.
    """
    from mousterian.cli.console import print_json
    from mousterian.store.quality import QualityTable
    from mousterian.store.rows import Store
    from mousterian.synthesis import pools

    faults = [*Store(store).verify(), *pools.verify(store / "pools"), *QualityTable(store).verify()]
    if json:
        print_json([{"file": str(path), "fault": fault} for path, fault in faults])
    else:
        print("".join(f"{path}: {fault}\n" for path, fault in faults) + f"{len(faults)} faults in {store}")
    return 2 if faults else 0


def export(*grids: Path, out: Path, store: Path = STORE, json: bool = False) -> int:
    """Write the rows of grids, and what was measured of their pools, as a new store, to be published.

    Parameters
    ----------
    grids
        The grid files (TOML) whose trials are wanted.
    out
        Folder of the new store.
    store
        Folder of the store that has them.
    json
        Print as JSON.
    """
    from mousterian.cli.console import print_json
    from mousterian.errors import InputError
    from mousterian.store.export import export_trials
    from mousterian.trials import grid

    if not grids:
        raise InputError("no grid file is named", hint="mousterian store export GRID.toml --out FOLDER")
    asked = {trial.key for file in grids for trial in grid.read(file)[0]}
    found = export_trials(asked, store, out)
    if json:
        return print_json({**vars(found), "store": str(found.store)})
    missing = f" ({found.missing} more are not in {store})" if found.missing else ""
    print(f"{found.trials} trials{missing} and {found.measurements} measurements of pools: {found.store}")
    return 0


def _cells(folder: Path, as_json: bool) -> int:
    """Show the cells of a store: seeds by status, mean top-1 accuracy of those done and its spread."""
    from mousterian.store.rows import Store
    from mousterian.store.schema import DIVERGED, DONE, FAILED, STATUSES

    frame = Store(folder).read()
    keys = [
        "dataset",
        "model",
        "strategy",
        "recipe",
        "generator",
        "trained_on",
        "n_base",
        "n_real_plus",
        "n_syn_plus",
    ]
    for status in STATUSES:
        frame[status] = frame["status"] == status
    frame["top1"] = frame["top1"].where(frame[DONE])
    for kind in _KINDS_OF_OPTIONS:
        frame[f"{kind}_options"] = differences(list(zip(frame[kind], frame[f"{kind}_options"], strict=True)))
    options = [f"{kind}_options" for kind in _KINDS_OF_OPTIONS if frame[f"{kind}_options"].any()]
    grouped = frame.groupby([*keys, *options, "cell", "evaluation"], sort=True)
    rows = (
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
    if as_json:
        return print_json(json.loads(rows.to_json(orient="records")))
    shown = [row | {"top-1 %": row.pop("top1"), "± %": row.pop("spread")} for row in rows.to_dict("records")]
    out = console()
    out.print(
        table(str(folder), shown, keep=("n_base", "n_real_plus", "n_syn_plus", "done", "failed", "top-1 %"))
    )
    return 0
