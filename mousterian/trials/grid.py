"""A grid file -> cells -> trials, each with its content hash; and which of them are still to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from mousterian.data.cache import data_directory
from mousterian.errors import InputError, unknown_name
from mousterian.plugins.choice import Choice
from mousterian.plugins.key_value import key_and_value
from mousterian.store.rows import Store
from mousterian.store.schema import DONE, STATUSES
from mousterian.trials import grid_file, grid_plugins
from mousterian.trials.grid_file import GridFile, Source
from mousterian.trials.identity import DatasetChoice, GeneratorChoice, Trial
from mousterian.trials.rows import identity_columns


@dataclass(frozen=True)
class Plan:
    """A grid's trials and their status in the store.

    Attributes:
        trials: all trials of the grid, by hash.
        status: `done`, `diverged` or `failed`, for those in the store.
    """

    trials: Mapping[str, Trial]
    status: Mapping[str, str]

    def count(self, status: str) -> int:
        """Return how many trials have a status (a status of the store, or `new`)."""
        return self.counts()[status]

    def counts(self) -> dict[str, int]:
        """Return how many trials are new and how many have each status of the store."""
        counted = Counter(self.status.get(key, "new") for key in self.trials)
        return {status: counted[status] for status in ("new", *STATUSES)}

    def to_run(self, retry_failed: bool) -> list[Trial]:
        """Return the new trials, and with `retry_failed` those that failed or diverged."""
        skip = {DONE} if retry_failed else set(STATUSES)
        return [trial for key, trial in self.trials.items() if self.status.get(key) not in skip]


def read(path: Path, seeds: int | None = None, data_dir: Path | None = None) -> tuple[list[Trial], Source]:
    """Return all trials of a grid file, without duplicates, in the order of the file.

    Args:
        path: the grid file.
        seeds: use training seeds 0 to seeds - 1 instead of the file's.
        data_dir: folder of the datasets; None: the default.

    Raises:
        InputErrors: everything that is wrong in it.
    """
    grid, source = grid_file.read(path)
    if seeds is not None:
        if seeds < 1:
            raise InputError(f"--seeds must be 1 or more, not {seeds}")
        grid = grid.model_copy(update={"training_seeds": list(range(seeds))})
    return trials_of(grid, source, data_dir), source


def trials_of(grid: GridFile, source: Source, data_dir: Path | None = None) -> list[Trial]:
    """Return all trials of a grid, without duplicates.

    Args:
        grid: the grid.
        source: its file, which errors refer to.
        data_dir: folder of the datasets; None: the default.

    Raises:
        InputErrors: everything that is wrong in it.
    """
    errors = grid_file.ErrorCollector(source)
    folder = data_directory(data_dir)
    axes = {
        kind: grid_plugins.chosen(kind, getattr(grid, key), key, errors, folder)
        for key, kind in _KINDS.items()
    }
    datasets = grid_plugins.datasets(grid.dataset, errors, folder)
    recipes = grid_plugins.recipes(grid.recipe, errors)
    generators = grid_plugins.generators(grid, errors, folder)
    errors.raise_all()
    made = errors.attempt(("n_base",), lambda: list(_trials(grid, datasets, axes, recipes, generators)))
    errors.raise_all()
    return list({trial.key: trial for trial in made or ()}.values())


_KINDS = {"model": "models", "strategy": "strategies", "evaluation": "evaluations"}


def _cells(grid: GridFile) -> Iterator[tuple[int, int, int, Sequence[int]]]:
    """Yield n_base, n_real_plus, n_syn_plus and training seeds of each cell, the base alone first."""
    for cell in grid.cell:
        yield cell.n_base, cell.n_real_plus, cell.n_syn_plus, cell.training_seeds or grid.training_seeds
    for n_base in grid.n_base:
        real = [n for n in [*grid.n_real_plus, *_counts(grid.r_real, n_base)] if n]
        synthetic = [n for n in [*grid.n_syn_plus, *_counts(grid.r_syn, n_base)] if n]
        sizes = [(0, 0), *((n, 0) for n in real), *((0, n) for n in synthetic)]
        if grid.design == "full":
            sizes = list(product([0, *real], [0, *synthetic]))
        for n_real_plus, n_syn_plus in sizes:
            yield n_base, n_real_plus, n_syn_plus, grid.training_seeds


def _counts(ratios: Sequence[float], n_base: int) -> list[int]:
    """Convert ratios to n_base to counts."""
    for ratio in ratios:
        if ratio and not round(ratio * n_base):
            raise InputError(f"a ratio of {ratio} adds no image to a base of {n_base}: leave it out")
    return [round(ratio * n_base) for ratio in ratios]


def _trials(
    grid: GridFile,
    datasets: Sequence[DatasetChoice],
    axes: Mapping[str, Sequence[Choice]],
    recipes: Sequence[Mapping[str, Any]],
    generators: Sequence[GeneratorChoice],
) -> Iterator[Trial]:
    combinations = product(
        datasets, grid.imbalance, axes["models"], axes["strategies"], recipes, grid.subset_seeds
    )
    for (dataset, imbalance, model, strategy, chosen, subset_seed), cell in product(
        combinations, list(_cells(grid))
    ):
        n_base, n_real_plus, n_syn_plus, training_seeds = cell
        for generator in generators if n_syn_plus else [None]:
            first = Trial(
                dataset=dataset,
                imbalance=imbalance,
                n_base=n_base,
                n_real_plus=n_real_plus,
                n_syn_plus=n_syn_plus,
                generator=generator,
                model=model,
                strategy=strategy,
                recipe=chosen,
                evaluations=tuple(axes["evaluations"]),
                subset_seed=subset_seed,
                training_seed=training_seeds[0],
                allow_test_copies=grid.allow_test_copies,
            )
            yield from (first.with_seed(each) for each in training_seeds)


def select(trials: Sequence[Trial], only: Sequence[str]) -> list[Trial]:
    """Return the trials whose identity columns have the values of `COLUMN=VALUE` conditions."""
    chosen = list(trials)
    for condition in only:
        column, value = key_and_value(condition, flag="--only", form="COLUMN=VALUE")
        columns = identity_columns(trials[0])
        if column not in columns:
            raise unknown_name("column", column, columns, where="--only")
        chosen = [trial for trial in chosen if _equals(identity_columns(trial)[column], value)]
    return chosen


def _equals(value: object, asked: str) -> bool:
    """Return whether a column has the value asked for; numbers compare by value."""
    if isinstance(value, (int, float)):
        try:
            return value == float(asked)
        except ValueError:
            return False
    return str(value) == asked


def plan(trials: Sequence[Trial], store: Store) -> Plan:
    """Return the trials of a grid with their status in the store."""
    by_key = {trial.key: trial for trial in trials}
    known = store.status()
    return Plan(by_key, {key: known[key] for key in by_key if key in known})
