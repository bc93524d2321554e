"""How many empty trials per second each executor finishes: its overhead per trial.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/executors.py [--trials 1000] [--repeats 3] [--workers 2]

Two kinds of job: `nothing` returns at once, so only the executor's overhead is left; `row` also writes its
row to the store (serialised, fsynced, renamed), as every trial does. Time is measured from the first job
sent to the last one finished; `start` is the time before (processes, imports, connecting to a cluster).
Ray's is the one that RAY_ADDRESS or `ray start` names (docs/howto/ray.md).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from mousterian.executors.jobs import Job, TrialJob
from mousterian.plugins import registry
from mousterian.store.rows import Store
from mousterian.store.schema import DONE
from mousterian.trials import grid
from mousterian.trials.identity import Trial
from mousterian.trials.rows import failed_row
from mousterian.trials.settings import Settings

GRID = """
dataset = "digits"
n_base = 20
r_real = [1]
model = "small_cnn"
recipe = {name = "small", iterations = 1}
training_seeds = 0
"""


class Nothing(TrialJob):
    """An empty trial."""

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        pass


class Row(TrialJob):
    """A trial that only writes its row."""

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        row = failed_row(self.trial, settings.grid, "") | {"status": DONE, "top1": 0.5, "total": 1}
        Store(settings.store).write([row])


class Clock:
    """A listener that records when the first job began and when the last one ended."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.done = 0
        self.errors: list[str] = []

    def started(self, job: Job) -> None:
        self.first = self.first or time.perf_counter()

    def finished(self, job: Job, seconds: float) -> None:
        self.done += 1
        self.last = time.perf_counter()

    def failed(self, job: Job, error: str) -> None:
        self.errors.append(error)

    def postponed(self, job: Job) -> None:
        raise SystemExit(f"lost: {job.label}")

    def notice(self, text: str) -> None:
        print(text)

    def stopping(self) -> None:
        pass


def trials(count: int) -> list[Trial]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "grid.toml"
        file.write_text(GRID)
        one = grid.read(file)[0][0]
    return [replace(one, training_seed=seed) for seed in range(count)]


def measure(executor: str, kind: type[TrialJob], count: int, workers: int) -> dict[str, float]:
    jobs = [kind(trial, trial.key, trial.label) for trial in trials(count)]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder) / "store", None, "cpu", "benchmark")
        clock = Clock()
        began = time.perf_counter()
        registry.find("executors", executor).load()(jobs, settings, clock, workers=workers)
        ended = time.perf_counter()
        if clock.done != count or (kind is Row and len(Store(settings.store).status()) != count):
            raise SystemExit(f"{executor}: {clock.done} of {count} done; {clock.errors[:1]}")
    return {
        "trials_a_second": count / (clock.last - clock.first),
        "start": clock.first - began,
        "close": ended - clock.last,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--executors", nargs="+", default=["local", "ray"])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    table = []
    for kind in (Nothing, Row):
        for executor in given.executors:
            runs = [measure(executor, kind, given.trials, given.workers) for _ in range(given.repeats)]
            middle = {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}
            rates = sorted(round(run["trials_a_second"]) for run in runs)
            table.append({"executor": executor, "job": kind.__name__.lower(), **middle, "runs": rates})
            print(json.dumps(table[-1]), f"load {os.getloadavg()[0]:.1f}", flush=True)
    if given.out:
        given.out.write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
