"""The plan of a grid, as `mousterian grid --dry-run` prints it: cells, trials to run, estimated time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mousterian.answers.numbers import duration
from mousterian.cli.commands import EXIT_DONE
from mousterian.cli.commands._data_notes import show_notes
from mousterian.cli.console import console, plural, print_json, table
from mousterian.errors import InputError
from mousterian.executors.run import choose
from mousterian.plugins.differences import differences
from mousterian.store.rows import Store
from mousterian.store.schema import DIVERGED, DONE, FAILED, STATUSES
from mousterian.trials import checks, grid, leaks
from mousterian.trials.grid import Plan
from mousterian.trials.identity import Trial
from mousterian.trials.notes import notes_of_trials
from mousterian.trials.settings import Settings

SIZES = ("n_base", "n_real_plus", "n_syn_plus")
CELLS_SHOWN = 200  # in the table of --dry-run


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
    executor_options: tuple[str, ...]
    data_dir: Path | None
    retry_failed: bool
    keep_going: bool

    def settings(self) -> Settings:
        """Return the settings of its trials."""
        return Settings(self.store, self.data_dir, self.device, self.file.stem)

    def planned(self) -> tuple[Plan, list[Trial]]:
        """Return the plan and the trials to run; sizes are checked only if there are any."""
        if self.workers < 0:
            raise InputError(f"--workers must be 0 or more, not {self.workers}")
        # First of all, so that nothing is read or run if the executor is wrong.
        choose(self.executor, self.executor_options, self.workers)
        trials, source = grid.read(self.file, self.seeds, self.data_dir)
        chosen = grid.select(trials, self.only)
        if not chosen:
            raise InputError(
                "no trial of this grid matches the conditions", where=f"--only {' '.join(self.only)}"
            )
        plan = grid.plan(chosen, Store(self.store))
        to_run = plan.to_run(self.retry_failed)
        if to_run:
            checks.check_sizes(to_run, source, self.data_dir)
            leaks.refuse_known(to_run, self.store)
        return plan, to_run


def show_plan(arguments: GridArguments, as_json: bool) -> int:
    """Show a grid's cells with their new, done and failed trials, what is known of its data, and its time."""
    plan, to_run = arguments.planned()
    found = {
        "trials": plan.counts(),
        "replaced": _replaced(arguments, plan),
        "cells": _cells(plan),
        "estimate": _estimate(arguments, plan, to_run) if to_run else None,
        "leaks": leaks.known(plan.trials.values(), arguments.store, arguments.data_dir),
        "notes": notes_of_trials(to_run, plan.trials.values(), arguments.settings()),
    }
    if as_json:
        return print_json(found)
    _show(found, arguments.file.stem)
    return EXIT_DONE


def _show(found: Mapping[str, Any], title: str) -> None:
    out = console()
    counts, cells, estimated = found["trials"], found["cells"], found["estimate"]
    out.print(table(title, cells[:CELLS_SHOWN], keep=(*SIZES, "new", DONE, FAILED)))
    if len(cells) > CELLS_SHOWN:
        out.print(f"and {plural(len(cells) - CELLS_SHOWN, 'more cell')}; --json lists all", highlight=False)
    diverged = f", {counts[DIVERGED]} diverged" if counts[DIVERGED] else ""
    out.print(f"{plural(counts['new'], 'new trial')}, {counts[DONE]} done{diverged}, {counts[FAILED]} failed")
    for each in found["replaced"]:
        verb = "replaces" if each["trials"] == 1 else "replace"
        text = f"{each['trials']:,} of {plural(counts['new'], 'new trial')} {verb} rows of the store"
        out.print(f"{text}: {each['reason']}", highlight=False, soft_wrap=True)
    for each in found["leaks"]:
        for sentence in each["sentences"] or ["not checked for leaks yet"]:
            out.print(f"{each['of']}: {sentence}", highlight=False, soft_wrap=True)
    if estimated:
        out.print(
            f"about {duration(estimated['seconds'])} with {plural(estimated['workers'], 'worker')}"
            f" (estimated from {estimated['source']})",
            highlight=False,
        )
        if unknown := estimated["pools_not_estimated"]:
            out.print(f"without the time of {plural(unknown, 'pool')}, which cannot be estimated")
    show_notes(found["notes"], out)


def _replaced(arguments: GridArguments, plan: Plan) -> list[dict[str, Any]]:
    """Return how many new trials replace rows of the store, for each reason."""
    from mousterian.trials.replaced import replaced

    new = [trial for key, trial in plan.trials.items() if key not in plan.status]
    return [each._asdict() for each in replaced(new, Store(arguments.store))]


def _estimate(arguments: GridArguments, plan: Plan, to_run: list[Trial]) -> dict[str, Any]:
    from mousterian.executors.workers import default_workers
    from mousterian.trials.time_estimate import estimate

    workers = arguments.workers or default_workers(arguments.device)
    cost = estimate(to_run, plan.trials, arguments.settings())
    return {
        "seconds": round((cost.training + cost.pools) / workers),
        "training_seconds": round(cost.training),
        "pool_seconds": round(cost.pools),
        "pools_not_estimated": cost.unknown_pools,
        "workers": workers,
        "source": cost.source,
    }


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
        _row(trial) | differing | counts[text]
        for (text, trial), differing in zip(firsts.items(), options, strict=True)
    ]


def _options(cells: list[Trial]) -> list[dict[str, str]]:
    """Return the options in which cells with plug-ins of the same names differ."""
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
        differing = differences([choice(cell) for cell in cells])
        if any(differing):
            for each, text in zip(found, differing, strict=True):
                each[f"{kind}_options"] = text
    return found


def _row(trial: Trial) -> dict[str, Any]:
    """Return the columns of a trial's cell in the table."""
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
