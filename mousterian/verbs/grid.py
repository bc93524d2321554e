"""`mousterian grid`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mousterian.verbs import STORE


def grid(
    file: Path,
    *,
    store: Path = STORE,
    device: str = "auto",
    workers: int = 0,
    seeds: int | None = None,
    only: Sequence[str] = (),
    executor: str = "local",
    executor_option: Sequence[str] = (),
    data_dir: Path | None = None,
    dry_run: bool = False,
    retry_failed: bool = False,
    keep_going: bool = False,
    json: bool = False,
) -> int:
    """Run the trials of a grid file that are not yet in the store.

    Parameters
    ----------
    file
        The grid file (TOML).
    store
        Folder of the store; finished trials there are never run again.
    device
        cpu, cuda, cuda:1, or auto.
    workers
        Processes; 0: one for each core, or one for an accelerator.
    seeds
        Use training seeds 0 to SEEDS - 1 in place of the file's.
    only
        COLUMN=VALUE: run only the trials with that value, e.g. n_base=300; may be repeated.
    executor
        Where trials run: local, ray or slurm; `mousterian list executors` shows them.
    executor_option
        KEY=VALUE: an option of the executor, e.g. gpus_per_trial=0.25; may be repeated.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    dry_run
        List what would run and how long it would take, and run nothing.
    retry_failed
        Run failed trials again, and those that diverged.
    keep_going
        Go on when the first trials all fail alike, which else stops the grid.
    json
        Print the outcome as JSON.
    """
    from mousterian import sweep

    request = sweep.Request(
        file,
        store,
        device,
        workers,
        seeds,
        tuple(only),
        executor,
        data_dir,
        retry_failed,
        tuple(executor_option),
        keep_going,
    )
    return sweep.dry_run(request, json) if dry_run else sweep.run(request, json)
