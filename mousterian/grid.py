"""A grid file -> cells -> trials, each with its content hash; and running the ones not yet done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from mousterian import choices, gridfile
from mousterian.checking import check_classes, check_evaluations, check_model, check_strategy, what_matters
from mousterian.datasets._cache import data_directory
from mousterian.errors import InputError, unknown_name
from mousterian.executors._failures import GivesUp
from mousterian.executors._jobs import Job, Listener, PoolJob, TrialJob
from mousterian.executors._options import choose
from mousterian.gridfile import GridFile, Source
from mousterian.options import pair
from mousterian.rows import identity_columns
from mousterian.store import DONE, STATUSES, Store
from mousterian.subsets import check_balance
from mousterian.supply import generator_indices, load_images, unseen_labels
from mousterian.trial import Choice, DatasetChoice, GeneratorChoice, Settings, Trial

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """A grid's trials by what is known of them.

    Attributes:
        trials: all trials of the grid, by hash.
        status: `done`, `diverged` or `failed` for those that the store knows.
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
        """Return the trials that are new; the failed and the diverged ones too if asked for."""
        skip = {DONE} if retry_failed else set(STATUSES)
        return [trial for key, trial in self.trials.items() if self.status.get(key) not in skip]


def read(path: Path, seeds: int | None = None, data_dir: Path | None = None) -> tuple[list[Trial], Source]:
    """Return all trials of a grid file, without duplicates, in the order of the file.

    Args:
        path: the grid file.
        seeds: training seeds 0 to seeds - 1 in place of the file's.
        data_dir: folder of the datasets, None for the default.

    Raises:
        InputErrors: everything that is wrong in it.
    """
    grid, source = gridfile.read(path)
    if seeds is not None:
        if seeds < 1:
            raise InputError(f"--seeds must be 1 or more, not {seeds}")
        grid = grid.model_copy(update={"training_seeds": list(range(seeds))})
    return trials_of(grid, source, data_dir), source


def trials_of(grid: GridFile, source: Source, data_dir: Path | None = None) -> list[Trial]:
    """Return all trials of a grid, without duplicates.

    Args:
        grid: what is asked for.
        source: where it was written, to place errors in.
        data_dir: folder of the datasets, None for the default.

    Raises:
        InputErrors: everything that is wrong in it.
    """
    faults = choices.Faults(source)
    folder = data_directory(data_dir)
    axes = {
        kind: choices.chosen(kind, getattr(grid, key), key, faults, folder) for key, kind in _KINDS.items()
    }
    datasets = choices.datasets(grid.dataset, faults, folder)
    recipes = choices.recipes(grid.recipe, faults)
    generators = choices.generators(grid, faults, folder)
    faults.tell()
    made = faults.attempt(("n_base",), lambda: list(_trials(grid, datasets, axes, recipes, generators)))
    faults.tell()
    return list({trial.key: trial for trial in made or ()}.values())


_KINDS = {"model": "models", "strategy": "strategies", "evaluation": "evaluations"}


def _cells(grid: GridFile) -> Iterator[tuple[int, int, int, Sequence[int]]]:
    """Yield n_base, n_real_plus, n_syn_plus and training seeds of each mixture, base alone first."""
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
    """Return ratios to a base size as counts."""
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
            )
            yield from (first.with_seed(each) for each in training_seeds)


def select(trials: Sequence[Trial], only: Sequence[str]) -> list[Trial]:
    """Return the trials whose identity columns have the values of `COLUMN=VALUE` conditions."""
    chosen = list(trials)
    for condition in only:
        column, value = pair(condition, flag="--only", form="COLUMN=VALUE")
        columns = identity_columns(trials[0])
        if column not in columns:
            raise unknown_name("column", column, columns, where="--only")
        chosen = [trial for trial in chosen if _is(identity_columns(trial)[column], value)]
    return chosen


def _is(held: object, asked: str) -> bool:
    """Tell whether a column's value is the one asked for, numbers by their value."""
    if isinstance(held, (int, float)):
        try:
            return held == float(asked)
        except ValueError:
            return False
    return str(held) == asked


def check_sizes(trials: Sequence[Trial], source: Source, data_dir: Path | None) -> None:
    """Refuse datasets whose splits do not match and trials whose subsets do not fit, all at once.

    Raises:
        InputErrors: each unfit dataset, each impossible size, placed at n_base or at the generator, and
            each mixture that a strategy refuses.
    """
    faults = choices.Faults(source)
    for dataset in {(trial.dataset.name, trial.dataset.json): trial.dataset for trial in trials}.values():
        faults.attempt(("dataset",), partial(_check_splits, dataset, data_dir))
    for trial in {(t.dataset.text, t.generator and t.generator.text): t for t in trials}.values():
        faults.attempt(("dataset",), partial(check_classes, trial, data_dir))
    faults.tell()
    seen = set()
    for trial in trials:
        upstream_size = trial.generator.n_upstream if trial.generator else 0
        subset = (trial.subset_seed, trial.imbalance, trial.n_base, trial.n_real_plus, upstream_size)
        sizes = (trial.dataset.name, trial.dataset.json, *subset)
        if sizes in seen:
            continue
        seen.add(sizes)

        def check(trial: Trial = trial) -> None:
            train = load_images(trial.dataset, "train", data_dir)
            sizes = (len(train.class_names), trial.n_base, trial.n_real_plus, trial.imbalance)
            check_balance(train.labels, *sizes, unseen_labels(trial, train))
            generator_indices(trial, train)

        faults.attempt(("generator",) if upstream_size else ("n_base",), check)
    faults.tell()
    for trial in {(trial.model.text, trial.dataset.text): trial for trial in trials}.values():
        faults.attempt(("model",), partial(check_model, trial, data_dir))
    faults.tell()
    for trial in {what_matters(trial): trial for trial in trials}.values():
        faults.attempt(("strategy",), partial(check_strategy, trial, data_dir))
    for trial in {trial.dataset.text: trial for trial in trials}.values():
        faults.attempt(("evaluation",), partial(check_evaluations, trial, data_dir))
    faults.tell()


def _check_splits(dataset: Choice, data_dir: Path | None) -> None:
    train, test = (load_images(dataset, split, data_dir) for split in ("train", "test"))
    if train.shape != test.shape:
        raise InputError(
            f"the training images of {dataset.name!r} are {train.shape} and its test images {test.shape}"
            " (height, width, channels)",
            hint="give both the same size",
        )
    if train.class_names != test.class_names:
        odd = sorted(set(train.class_names) ^ set(test.class_names))[:5]
        raise InputError(
            f"the training and the test images of {dataset.name!r} have different classes"
            + (f": {', '.join(odd)} are in one only" if odd else ", or the same in another order")
        )


def plan(trials: Sequence[Trial], store: Store) -> Plan:
    """Set the trials of a grid against what the store has."""
    by_key = {trial.key: trial for trial in trials}
    known = store.status()
    return Plan(by_key, {key: known[key] for key in by_key if key in known})


def jobs(trials: Sequence[Trial], settings: Settings, *, again: bool = False) -> list[Job]:
    """Return what has to run: missing pools first, longest trials next, each with what it waits for.

    Args:
        trials: to run.
        settings: where they run.
        again: run those too that have diverged before.
    """
    pools: dict[str, PoolJob] = {}
    for trial in trials:
        identity = trial.pool()
        if identity is None:
            continue
        key = trial.source_key
        held = pools.get(key)
        if held is None or held.count < trial.n_syn_plus:
            pools[key] = PoolJob(trial, trial.n_syn_plus, key, identity.label)
    longest = sorted(trials, key=lambda t: -(t.n_base + t.n_real_plus + t.n_syn_plus))
    return [
        *pools.values(),
        *(TrialJob(trial, trial.key, trial.label, _needs(trial, pools), again) for trial in longest),
    ]


def _needs(trial: Trial, pools: Mapping[str, PoolJob]) -> str:
    return trial.source_key if trial.source_key in pools else ""


def run(
    chosen: Sequence[Trial],
    settings: Settings,
    listener: Listener,
    *,
    executor: str,
    workers: int,
    executor_options: Sequence[str] = (),
    again: bool = False,
    keep_going: bool = False,
) -> None:
    """Run trials on an executor; every finished or failed one is in the store when this returns.

    Args:
        chosen: trials to run.
        settings: where they run and where their rows go.
        listener: is told what becomes of each.
        executor: its name.
        workers: trials at a time, 0 for as many as suit.
        executor_options: `KEY=VALUE` texts.
        again: run those too that have diverged before.
        keep_going: do not stop when the first trials all fail alike.

    Raises:
        GaveUpError: the first trials all failed alike.
        InputError: nothing can run here, or the store cannot be written.
    """
    plugin, options = choose(executor, executor_options, workers)
    store = Store(settings.store)
    if not store.can_lock():
        listener.notice(
            f"{settings.store} lies on a file system without locks: run one grid at a time on this store,"
            " or trials and pools may be made twice (kept once all the same)"
        )
    store.clean()
    told = listener if keep_going else GivesUp(listener)
    plugin.load()(jobs(chosen, settings, again=again), settings, told, **options)
