"""What `mousterian grid` does: read, check, show, run, and tell how it went."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from mousterian import grid
from mousterian.apart import differences
from mousterian.clock import duration
from mousterian.console import console, print_json, table
from mousterian.errors import InputError
from mousterian.executors._failures import GaveUpError
from mousterian.executors._options import choose
from mousterian.grid import Plan
from mousterian.progress import GridProgress
from mousterian.store import DIVERGED, DONE, FAILED, STATUSES, Store
from mousterian.trial import Settings, Trial

SIZES = ("n_base", "n_real_plus", "n_syn_plus")
INTERRUPTED = "interrupted"
CELLS_SHOWN = 200  # in the table of --dry-run; more are not read by anyone
EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED = 0, 3, 130


@dataclass(frozen=True)
class Request:
    """The arguments of `mousterian grid`."""

    file: Path
    store: Path
    device: str
    workers: int
    seeds: int | None
    only: tuple[str, ...]
    executor: str
    data_dir: Path | None
    retry_failed: bool
    executor_options: tuple[str, ...] = ()
    keep_going: bool = False

    def settings(self) -> Settings:
        """Return where its trials run."""
        return Settings(self.store, self.data_dir, self.device, self.file.stem)

    def planned(self) -> tuple[Plan, list[Trial]]:
        """Return the plan and the trials to run; sizes are checked only if there are any."""
        if self.workers < 0:
            raise InputError(f"--workers must be 0 or more, not {self.workers}")
        choose(self.executor, self.executor_options, self.workers)  # said before anything is read or run
        trials, source = grid.read(self.file, self.seeds, self.data_dir)
        chosen = grid.select(trials, self.only)
        if not chosen:
            raise InputError(
                "no trial of this grid meets the conditions", where=f"--only {' '.join(self.only)}"
            )
        plan = grid.plan(chosen, Store(self.store))
        to_run = plan.to_run(self.retry_failed)
        if to_run:
            grid.check_sizes(to_run, source, self.data_dir)
        return plan, to_run


def dry_run(request: Request, as_json: bool) -> int:
    """Show the cells of a grid with what is new, done and failed, and the time that the new ones take."""
    plan, to_run = request.planned()
    cells = _cells(plan)
    outlook: dict[str, Any] = {}
    if to_run:
        from mousterian.estimate import estimate
        from mousterian.executors._together import default_workers

        workers = request.workers or default_workers(request.device)
        cost = estimate(to_run, plan.trials, request.settings())
        outlook = {
            "seconds": round((cost.training + cost.pools) / workers),
            "training_seconds": round(cost.training),
            "pool_seconds": round(cost.pools),
            "pools_not_estimated": cost.unknown_pools,
            "workers": workers,
            "source": cost.source,
        }
    counts = plan.counts()
    if as_json:
        return print_json({"trials": counts, "cells": cells, "estimate": outlook or None})
    out = console()
    out.print(table(request.file.stem, cells[:CELLS_SHOWN], keep=(*SIZES, "new", DONE, FAILED)))
    if len(cells) > CELLS_SHOWN:
        out.print(f"and {len(cells) - CELLS_SHOWN:,} more cells; --json lists them all", highlight=False)
    diverged = f", {counts[DIVERGED]} diverged" if counts[DIVERGED] else ""
    out.print(f"{counts['new']} trials new, {counts[DONE]} done{diverged}, {counts[FAILED]} failed")
    if outlook:
        out.print(
            f"about {duration(outlook['seconds'])} on {outlook['workers']} workers"
            f" (estimated from {outlook['source']})",
            highlight=False,
        )
        if outlook["pools_not_estimated"]:
            out.print(f"and the time of {outlook['pools_not_estimated']} pools that cannot be estimated")
    return EXIT_DONE


def _cells(plan: Plan) -> list[dict[str, Any]]:
    """Return the grid's cells in order, each with its counts of new, done, diverged and failed trials."""
    firsts: dict[str, Trial] = {}
    counts: dict[str, dict[str, int]] = {}
    for key, trial in plan.trials.items():
        text = trial.cell_text
        if text not in firsts:
            firsts[text], counts[text] = trial, dict.fromkeys(("new", *STATUSES), 0)
        counts[text][plan.status.get(key, "new")] += 1
    options = _options(list(firsts.values()))
    return [
        _shown(trial) | differing | counts[text]
        for (text, trial), differing in zip(firsts.items(), options, strict=True)
    ]


def _options(cells: list[Trial]) -> list[dict[str, str]]:
    """Return the options in which cells differ that have plug-ins of the same names."""
    choices: dict[str, Callable[[Trial], tuple[str, str]]] = {
        "dataset": lambda cell: (cell.dataset.name, cell.dataset.json),
        "model": lambda cell: (cell.model.name, cell.model.json),
        "strategy": lambda cell: (cell.strategy.name, cell.strategy.json),
        "recipe": lambda cell: (cell.recipe["name"], cell.recipe_text),
        "generator": lambda cell: (
            (cell.generator.name, cell.generator.json) if cell.generator else ("", "{}")
        ),
    }
    found: list[dict[str, str]] = [{} for _ in cells]
    for kind, choice in choices.items():
        told = differences([choice(cell) for cell in cells])
        if any(told):
            for each, text in zip(found, told, strict=True):
                each[f"{kind}_options"] = text
    return found


def _shown(trial: Trial) -> dict[str, Any]:
    """Return what the table of cells shows of a trial's cell."""
    generator = trial.generator
    return {
        "dataset": trial.dataset.name,
        "model": trial.model.name,
        "strategy": trial.strategy.name,
        "recipe": trial.recipe["name"],
        "generator": generator.name if generator else "",
        "trained_on": generator.trained_on if generator else "",
        **{size: getattr(trial, size) for size in SIZES},
    }


def run(request: Request, as_json: bool) -> int:
    """Run what is not yet done and return the exit code."""
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
        "diverged": grid.plan(list(plan.trials.values()), Store(request.store)).count(DIVERGED),
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


def _run(request: Request, to_run: list[Trial], progress: GridProgress) -> str:
    """Run trials; return why the grid ended before its end, or nothing."""
    try:
        grid.run(
            to_run,
            request.settings(),
            progress,
            executor=request.executor,
            workers=request.workers,
            executor_options=request.executor_options,
            again=request.retry_failed,
            keep_going=request.keep_going,
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    except GaveUpError as gave_up:
        return str(gave_up)
    return ""


def _pools(trials: list[Trial], settings: Settings) -> set[str]:
    return {job.needs for job in grid.jobs(trials, settings) if job.needs}


def _resume_command() -> str:
    return shlex.join(["mousterian", *sys.argv[1:]])


def _tell(out: Console, outcome: dict[str, Any]) -> None:
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
