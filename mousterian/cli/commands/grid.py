"""What `mousterian grid` does: read, check, show, run, and tell how it went."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mousterian.cli.commands import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, STORE
from mousterian.cli.console import console, print_json

if TYPE_CHECKING:
    from mousterian.cli.commands._grid_plan import GridArguments
    from mousterian.cli.progress import GridProgress
    from mousterian.trials.identity import Trial
    from mousterian.trials.settings import Settings

INTERRUPTED = "interrupted"


def _run_or_plan(request: GridArguments, as_json: bool) -> int:
    """Run what is not yet done and return the exit code."""
    from mousterian.cli.progress import GridProgress
    from mousterian.store.rows import Store
    from mousterian.store.schema import DIVERGED, DONE, FAILED
    from mousterian.trials import grid as grids

    started = time.perf_counter()
    plan, to_run = request.planned()
    settings = request.settings()
    out = console(stderr=as_json)
    found = plan.count(DONE)
    ended = ""
    progress = GridProgress(len(to_run), len(_pools(to_run, settings)), out, _resume_command())
    if to_run:
        out.print(f"{len(to_run)} trials to run, {found} already in {request.store}", highlight=False)
        with progress:
            ended = _run(request, to_run, progress)
    held_failures = 0 if request.retry_failed else plan.count(FAILED)
    outcome = {
        "run": progress.done,
        "failed": progress.failures,
        "already_done": found,
        "already_failed": held_failures,
        "diverged": grids.plan(list(plan.trials.values()), Store(request.store)).count(DIVERGED),
        "left": len(to_run) - progress.done - progress.failures,
        "stopped": ended,
        "seconds": round(time.perf_counter() - started, 1),
        "store": str(request.store),
    }
    if as_json:
        print_json(outcome)
    else:
        _tell(out, outcome)
    if ended == INTERRUPTED:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if progress.failures or held_failures else EXIT_DONE


def _run(request: GridArguments, to_run: list[Trial], progress: GridProgress) -> str:
    """Run trials; return why the grid ended before its end, or nothing."""
    from mousterian.executors.failures import IdenticalFailuresError
    from mousterian.executors.run import run_trials

    try:
        run_trials(
            to_run,
            request.settings(),
            progress,
            executor=request.executor,
            workers=request.workers,
            executor_options=request.executor_options,
            retry=request.retry_failed,
            keep_going=request.keep_going,
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    except IdenticalFailuresError as gave_up:
        return str(gave_up)
    return ""


def _pools(trials: list[Trial], settings: Settings) -> set[str]:
    from mousterian.executors.jobs import jobs_of

    return {job.needs for job in jobs_of(trials, settings) if job.needs}


def _resume_command() -> str:
    return shlex.join(["mousterian", *sys.argv[1:]])


def _tell(out: Console, outcome: dict[str, Any]) -> None:
    from mousterian.answers.numbers import duration

    text = f"{outcome['run']} trials run in {duration(outcome['seconds'])}"
    text += f", {outcome['already_done']} were done before"
    if outcome["diverged"]:
        text += f"; {outcome['diverged']} diverged (fits leave them out)"
    if outcome["failed"] or outcome["already_failed"]:
        text += f"; {outcome['failed'] + outcome['already_failed']} failed (--retry-failed runs them again)"
    out.print(text, highlight=False)
    if outcome["stopped"] == INTERRUPTED:
        out.print(f"interrupted with {outcome['left']} trials left; go on with", highlight=False)
        out.print(f"  {_resume_command()}", markup=False, highlight=False, soft_wrap=True)
    elif outcome["stopped"]:
        out.print(
            f"stopped with {outcome['left']} trials left: {outcome['stopped']}", style="red", markup=False
        )


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
    from mousterian.cli.commands import _grid_plan

    request = _grid_plan.GridArguments(
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
    return _grid_plan.dry_run(request, json) if dry_run else _run_or_plan(request, json)
