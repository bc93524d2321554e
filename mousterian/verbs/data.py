"""`mousterian data`."""

from __future__ import annotations

from pathlib import Path


def data(name: str, *, data_dir: Path | None = None, json: bool = False) -> int:
    """Fetch a dataset, verify it, and say where it is.

    Parameters
    ----------
    name
        Name of the dataset; `mousterian list datasets` shows them.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print as JSON.
    """
    from mousterian import listing

    return listing.dataset(name, data_dir, json)
