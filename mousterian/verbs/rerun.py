"""`mousterian rerun`."""

from __future__ import annotations

from pathlib import Path

from mousterian.verbs import STORE


def rerun(
    trial: str,
    *,
    store: Path = STORE,
    pools: Path | None = None,
    device: str = "auto",
    data_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Run one trial again from its row alone, and compare what it gives now with what the store says.

    The same on a CPU bit for bit; within the noise of training seeds on an accelerator, or on a CPU of
    another kind. Nothing is written into the store but a pool that is not there. Exit code 3: it differs.

    Parameters
    ----------
    trial
        Its hash (column `trial` of the store), or the beginning of it.
    store
        Folder of the store whose row is taken.
    pools
        Folder of another store, in which pools are looked for, and made where missing.
    device
        cpu, cuda, cuda:1, or auto.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print as JSON.
    """
    from mousterian import rerunning
    from mousterian.trial import Settings

    then = rerunning.rows_of(store, trial)
    settings = Settings(pools or store, data_dir, device, grid="rerun")
    now = rerunning.again(then, settings)
    return rerunning.show(then, now, json)
