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
    from mousterian import listing
    from mousterian.store import Store

    joined = Store(store).compact()
    if json:
        return listing.print_json({"store": str(store), "joined": joined})
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
    from mousterian import listing, pools
    from mousterian.qualityfiles import QualityTable
    from mousterian.store import Store

    faults = [*Store(store).verify(), *pools.verify(store / "pools"), *QualityTable(store).verify()]
    if json:
        listing.print_json([{"file": str(path), "fault": fault} for path, fault in faults])
    else:
        print("".join(f"{path}: {fault}\n" for path, fault in faults) + f"{len(faults)} faults in {store}")
    return 2 if faults else 0
