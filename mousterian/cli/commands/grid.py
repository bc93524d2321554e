"""`mousterian grid`: run the trials of a grid file, or plan them."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.commands import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, STORE
from mousterian.cli.console import console, plural, print_json

if TYPE_CHECKING:
    from mousterian.cli.commands._grid_plan import GridArguments
    from mousterian.cli.progress import GridProgress
    from mousterian.trials.identity import Trial

_INTERRUPTED = "interrupted"


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
        Folder of the store; trials that have finished there are not run again.
    device
        cpu, cuda, cuda:1, or auto.
    workers
        Processes; 0: one for each core; on accelerators, as many as fit in memory.
    seeds
        Use training seeds 0 to SEEDS - 1 instead of the file's.
    only
        COLUMN=VALUE: run only the trials with that value, e.g. n_base=300; may be repeated.
    executor
        Where trials run: local, ray or slurm; `mousterian list executors` shows them.
    executor_option
        KEY=VALUE: an option of the executor, e.g. gpus_per_trial=0.25; may be repeated.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    dry_run
        List what would run and estimate its time, and run nothing.
    retry_failed
        Also run trials that have failed or diverged.
    keep_going
        Continue when the first trials all fail with the same error, instead of stopping.
    json
        Print the outcome as JSON.
    """
    from mousterian.cli.commands._grid_plan import GridArguments, show_plan

    arguments = GridArguments(
        file=file,
        store=store,
        device=device,
        workers=workers,
        seeds=seeds,
        only=tuple(only),
        executor=executor,
        executor_options=tuple(executor_option),
        data_dir=data_dir,
        retry_failed=retry_failed,
        keep_going=keep_going,
    )
    return show_plan(arguments, json) if dry_run else _run(arguments, json)


def _run(arguments: GridArguments, as_json: bool) -> int:
    """Run what is still to run and return the exit code."""
    from mousterian.cli.progress import GridProgress
    from mousterian.executors.jobs import jobs_of
    from mousterian.store.rows import Store
    from mousterian.store.schema import DIVERGED, DONE, FAILED
    from mousterian.trials import grid as grids

    started = time.perf_counter()
    plan, to_run = arguments.planned()
    out = console(stderr=as_json)
    done, ended = plan.count(DONE), ""
    pools = {job.needs for job in jobs_of(to_run, arguments.settings()) if job.needs}
    progress = GridProgress(len(to_run), len(pools), out, _resume_command())
    if to_run:
        out.print(
            f"{plural(len(to_run), 'trial')} to run, {done:,} already in {arguments.store}", highlight=False
        )
        with progress:
            ended = _run_trials(arguments, to_run, progress)
    failed_before = 0 if arguments.retry_failed else plan.count(FAILED)
    outcome = {
        "run": progress.done,
        "failed": progress.failures,
        "already_done": done,
        "already_failed": failed_before,
        "diverged": grids.plan(list(plan.trials.values()), Store(arguments.store)).count(DIVERGED),
        "left": len(to_run) - progress.done - progress.failures,
        "stopped": ended,
        "seconds": round(time.perf_counter() - started, 1),
        "store": str(arguments.store),
    }
    if as_json:
        print_json(outcome)
    else:
        _show(outcome)
    if ended == _INTERRUPTED:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if progress.failures or failed_before else EXIT_DONE


def _run_trials(arguments: GridArguments, to_run: list[Trial], progress: GridProgress) -> str:
    """Run trials; return why the grid stopped early, or an empty text."""
    from mousterian.executors.failures import IdenticalFailuresError
    from mousterian.executors.run import run_trials

    try:
        run_trials(
            to_run,
            arguments.settings(),
            progress,
            executor=arguments.executor,
            workers=arguments.workers,
            executor_options=arguments.executor_options,
            retry=arguments.retry_failed,
            keep_going=arguments.keep_going,
        )
    except KeyboardInterrupt:
        return _INTERRUPTED
    except IdenticalFailuresError as error:
        return str(error)
    return ""


def _resume_command() -> str:
    return shlex.join(["mousterian", *sys.argv[1:]])


def _show(outcome: dict[str, Any]) -> None:
    from mousterian.answers.numbers import duration

    out = console()
    text = f"{plural(outcome['run'], 'trial')} run in {duration(outcome['seconds'])}"
    text += f", {outcome['already_done']:,} already done"
    if outcome["diverged"]:
        text += f"; {outcome['diverged']} diverged (left out of fits)"
    if outcome["failed"] or outcome["already_failed"]:
        text += f"; {outcome['failed'] + outcome['already_failed']} failed (--retry-failed runs them again)"
    out.print(text, highlight=False)
    left = f"{plural(outcome['left'], 'trial')} left"
    if outcome["stopped"] == _INTERRUPTED:
        out.print(f"interrupted with {left}; resume with", highlight=False)
        out.print(f"  {_resume_command()}", markup=False, highlight=False, soft_wrap=True)
    elif outcome["stopped"]:
        out.print(f"stopped with {left}: {outcome['stopped']}", style="red", markup=False)
