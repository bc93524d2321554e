"""`mousterian data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def data(name: str, *, option: Sequence[str] = (), data_dir: Path | None = None, json: bool = False) -> int:
    """Fetch a dataset, verify it, and say where it is.

    Parameters
    ----------
    name
        Name of the dataset; `mousterian list datasets` shows them.
    option
        KEY=VALUE: an option of the dataset, e.g. path=pets for image_folder; may be repeated.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print as JSON.
    """
    from mousterian import listing

    return listing.dataset(name, tuple(option), data_dir, json)
