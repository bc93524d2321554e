"""What `mousterian grid --dry-run` prints: cells, what is left to run, how long it will take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mousterian.answers.numbers import duration
from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.console import console, print_json, table
from mousterian.errors import InputError
from mousterian.executors.run import choose
from mousterian.plugins.differences import differences
from mousterian.store.rows import Store
from mousterian.store.schema import DIVERGED, DONE, FAILED, STATUSES
from mousterian.trials import checks, grid
from mousterian.trials.grid import Plan
from mousterian.trials.identity import Trial
from mousterian.trials.settings import Settings

SIZES = ("n_base", "n_real_plus", "n_syn_plus")
CELLS_SHOWN = 200  # in the table of --dry-run; more are not read by anyone


@dataclass(frozen=True)
class GridArguments:
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
            checks.check_sizes(to_run, source, self.data_dir)
        return plan, to_run


def dry_run(request: GridArguments, as_json: bool) -> int:
    """Show the cells of a grid with what is new, done and failed, and the time that the new ones take."""
    plan, to_run = request.planned()
    cells = _cells(plan)
    outlook: dict[str, Any] = {}
    if to_run:
        from mousterian.executors.workers import default_workers
        from mousterian.trials.time_estimate import estimate

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
