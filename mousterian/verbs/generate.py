"""`mousterian generate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mousterian.verbs import STORE


def generate(
    file: Path | None = None,
    *,
    store: Path = STORE,
    count: int = 0,
    only: Sequence[str] = (),
    pool: Sequence[str] = (),
    device: str = "auto",
    data_dir: Path | None = None,
    list: bool = False,
    verify: bool = False,
    sheet: bool = False,
    samples: Path | None = None,
    json: bool = False,
) -> int:
    """Make, extend and filter pools without training on them; list and verify them.

    Killed and run again, it goes on where it was; damaged shards are set aside and made anew.

    Parameters
    ----------
    file
        The grid file (TOML); none with --pool, --list, --verify, --sheet or --samples, which go to
        the store's pools.
    store
        Folder of the store; pools lie in it.
    count
        Make so many images of each pool, where the grid asks for fewer.
    only
        COLUMN=VALUE: only the pools of trials with that value, e.g. n_base=300; may be repeated.
    pool
        Extend this pool of the store to --count images; the first digits of its hash; may be repeated.
    device
        cpu, cuda, cuda:1, or auto.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    list
        List the pools of the store: images, what filters keep, training.
    verify
        Read every shard of the store's pools and name those that are not sound.
    sheet
        Draw a sample sheet of each pool of the store: sheet.png in its folder, one row for each class.
    samples
        Draw real images and those of each kind of pool of the store into this folder, small enough for git;
        in the folder samples of a store without pools they are what a report of it shows.
    json
        Print as JSON.
    """
    from mousterian import generating, looking

    if list or verify or sheet or samples:
        return looking.look(looking.Look(file, store, data_dir, list, verify, sheet, samples), json)
    request = generating.Request(file, store, count, tuple(only), device, data_dir)
    return generating.extend(request, pool, json) if pool else generating.make(request, json)
