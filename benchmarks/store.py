"""The store at scale: 100,000 finished trials planned and read, 1,000 uncompacted trials read.

    python benchmarks/store.py
    python benchmarks/store.py --trials 10000 --repeats 3

Makes a store in a temporary folder with the real schema (every identity column from real trials of a grid
file of thousands of cells, ten training seeds each), and times whole processes and calls.
Prints rows for benchmarks/RESULTS.md: the median of the repeats, with the fastest and the slowest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from mousterian.store.rows import Store
from mousterian.store.schema import DONE
from mousterian.trials import grid
from mousterian.trials.identity import Trial
from mousterian.trials.rows import identity_columns

SEEDS = 10
GRID = """
dataset = "digits"
n_base = {bases}
r_real = [0.5, 1, 2, 3]
r_syn = [1, 2, 4, 8]
design = "full"
model = [{{name = "small_cnn", width = 4}}, {{name = "small_cnn", width = 8}}]
recipe = {{name = "small", iterations = 4, batch_size = 16}}
training_seeds = {seeds}

[[generator]]
name = "edm"
trained_on = ["base", "upstream"]
n_upstream = 500
steps = 2
"""


def grid_file(folder: Path, trials: int) -> Path:
    """Write a grid file of at least `trials` trials: 90 mixtures per base size."""
    bases = list(range(20, 20 + 2 * max(1, -(-trials // (90 * SEEDS))), 2))
    path = folder / "large.toml"
    path.write_text(GRID.format(bases=bases, seeds=list(range(SEEDS))))
    return path


def rows(trials: list[Trial]) -> Iterator[dict[str, Any]]:
    """Yield a row for each trial, with made-up results."""
    for number, trial in enumerate(trials):
        top1 = 0.5 + (number % 400) / 1000
        yield {
            **identity_columns(trial),
            "evaluation": "accuracy",
            "evaluation_options": "{}",
            "evaluation_set": "digits/test",
            "top1": top1,
            "top5": 0.99,
            "correct": round(top1 * 797),
            "total": 797,
            "per_class": [top1] * 10,
            "loss": 1 - top1,
            "seconds": 0.4,
            "train_seconds": 0.3,
            "steps": 4,
            "images_seen": 64,
            "device": "cpu",
            "grid": "large",
            "versions": '{"python":"3.11"}',
            "revision": "0" * 12,
            "finished_at": f"2026-11-21T12:{number // 60 % 60:02d}:{number % 60:02d}+00:00",
            "status": DONE,
            "error": "",
        }


def timed(repeats: int, call: Callable[[], object]) -> list[tuple[float, float]]:
    """Return wall-clock and CPU seconds (child processes included) of each of several calls."""
    seconds = []
    for _ in range(repeats):
        started, busy = time.perf_counter(), sum(os.times()[:4])
        call()
        seconds.append((time.perf_counter() - started, sum(os.times()[:4]) - busy))
    return seconds


def dry_run(file: Path, store: Path) -> None:
    """Run `mousterian grid FILE --dry-run` in a process of its own."""
    command = [sys.executable, "-m", "mousterian", "grid", str(file), "--store", str(store), "--dry-run"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def print_row(what: str, seconds: list[tuple[float, float]]) -> None:
    """Print a row for RESULTS.md."""
    wall, busy = zip(*seconds, strict=True)
    print(
        f"| {what} | {statistics.median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f})"
        f" | {statistics.median(busy):.2f} |",
        flush=True,
    )


def main() -> None:
    """Make the stores, time them, print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--singles", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = grid_file(folder, given.trials)
        trials, _ = grid.read(file)
        made = list(rows(trials))
        large, small = Store(folder / "large"), Store(folder / "small")
        large.write_many(made)
        for row in islice(made, given.singles):
            small.write([row])
        print(
            f"load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {given.repeats} repeats"
        )
        print("| what | seconds, median (fastest to slowest) | CPU seconds |\n|---|---|---|")
        print_row(
            f"`grid FILE --dry-run`, {len(trials):,} finished trials, whole process",
            timed(given.repeats, lambda: dry_run(file, large.folder)),
        )
        print_row(f"`Store.read`, {len(trials):,} trials, compacted", timed(given.repeats, large.read))
        print_row(f"`Store.status`, {len(trials):,} trials, compacted", timed(given.repeats, large.status))
        print_row(f"`Store.read`, {given.singles:,} trials, not compacted", timed(given.repeats, small.read))
        print_row(
            f"`Store.status`, {given.singles:,} trials, not compacted", timed(given.repeats, small.status)
        )


if __name__ == "__main__":
    main()
