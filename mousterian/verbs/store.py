"""`mousterian store`: what can be done with a store."""

from __future__ import annotations

from pathlib import Path

from mousterian.verbs import STORE


def ls(*, store: Path = STORE, json: bool = False) -> int:
    """List the cells of a store: trials by status, mean accuracy and its spread.

    Parameters
    ----------
    store
        Folder of the store.
    json
        Print as JSON.
    """
    from mousterian import listing

    return listing.cells(store, json)


def compact(*, store: Path = STORE, json: bool = False) -> int:
    """Join the files of all trials into one.

    Parameters
    ----------
    store
        Folder of the store.
    json
        Print as JSON.
    """
    from mousterian.console import print_json
    from mousterian.store import Store

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
    from mousterian import pools
    from mousterian.console import print_json
    from mousterian.qualityfiles import QualityTable
    from mousterian.store import Store

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
    from mousterian import exporting, grid
    from mousterian.console import print_json
    from mousterian.errors import InputError

    if not grids:
        raise InputError("no grid file is named", hint="mousterian store export GRID.toml --out FOLDER")
    asked = {trial.key for file in grids for trial in grid.read(file)[0]}
    found = exporting.export(asked, store, out)
    if json:
        return print_json({**vars(found), "store": str(found.store)})
    missing = f" ({found.missing} more are not in {store})" if found.missing else ""
    print(f"{found.trials} trials{missing} and {found.measurements} measurements of pools: {found.store}")
    return 0
