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


def compact(*, store: Path = STORE) -> int:
    """Join the files of all trials into one.

    Parameters
    ----------
    store
        Folder of the store.
    """
    from mousterian.store import Store

    print(f"{Store(store).compact()} trial files joined")
    return 0


def verify(*, store: Path = STORE) -> int:
    """Read every file of a store, its pools and their quality too, and name those that are not sound.

    Parameters
    ----------
    store
        Folder of the store.
    """
    from mousterian import pools
    from mousterian.qualityfiles import QualityTable
    from mousterian.store import Store

    faults = [*Store(store).verify(), *pools.verify(store / "pools"), *QualityTable(store).verify()]
    for path, fault in faults:
        print(f"{path}: {fault}")
    print(f"{len(faults)} faults in {store}")
    return 2 if faults else 0
