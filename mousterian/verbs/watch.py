"""`mousterian watch`."""

from __future__ import annotations

from pathlib import Path

from mousterian.verbs import STORE


def watch(
    file: Path | None = None,
    *,
    store: Path = STORE,
    seconds: float = 5,
    once: bool = False,
    data_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Show live how far a grid is, its curves, and what the answer and its interval are so far.

    It only reads: a grid may run at the same time, here or on any machine that shares the store's folder.
    Ctrl-C ends it, and with a grid file the grid's last trial.

    Parameters
    ----------
    file
        The grid file, to know how many trials there will be; without it, all trials of the store.
    store
        Folder of the store.
    seconds
        Time between two looks.
    once
        Show it once and end.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print one line of JSON each time that something has changed.
    """
    from mousterian import watching

    request = watching.Request(store, file, data_dir)
    return watching.watch(request, seconds=seconds, once=once, as_json=json)
