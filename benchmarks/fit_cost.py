"""Time and memory of `mousterian fit` on large tables: CSV file to saved fit, each in a process of its own.

    OMP_NUM_THREADS=1 python benchmarks/fit_cost.py
    OMP_NUM_THREADS=1 PYTHONPATH=/older/checkout python benchmarks/fit_cost.py --only 10000 --limit 8

Prints rows for benchmarks/RESULTS.md: CPU and wall-clock seconds, and peak memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

COUNTS = ["n_base", "n_real_plus", "n_syn_plus"]
_TOTAL = 2000
_ASKED = ["--n-base", "1000", "--n-real-plus", "1000"]


def distinct(count: int) -> pd.DataFrame:
    """Simulate a table of random base sizes: alone, with real and with synthetic images, one row each."""
    rng = np.random.default_rng(1)
    base, kind = np.repeat(rng.integers(100, 20_000, count // 3 + 1), 3)[:count], np.arange(count) % 3
    real = np.where(kind == 1, base * 10 ** rng.uniform(-1, 0.5, count), 0).astype(int)
    syn = np.where(kind == 2, base * 10 ** rng.uniform(-1, 1, count), 0).astype(int)
    table = pd.DataFrame(np.stack([base, real, syn], axis=1), columns=COUNTS)
    return _with_accuracy(table, rng.normal(0, 0.004, count), rng)


def repeated(rows: int, cells: int = 2000) -> pd.DataFrame:
    """Simulate a grid of 20 base sizes with `rows` trials, of five subset and several training seeds."""
    rng = np.random.default_rng(1)
    ratios = np.geomspace(0.1, 8, cells // 40)
    added = [(ratio, 0.0) for ratio in (0.0, *ratios[:-1])] + [(0.0, ratio) for ratio in ratios]
    grid = [(base, real * base, syn * base) for base in np.geomspace(100, 20_000, 20) for real, syn in added]
    each = rows // len(grid)
    table = pd.DataFrame(np.repeat(np.round(grid), each, axis=0), columns=COUNTS)
    table["subset_seed"] = np.tile(np.arange(each) % 5, len(grid))
    table["training_seed"] = np.tile(np.arange(each) // 5, len(grid))
    luck = rng.normal(0, 0.004, 5)[table["subset_seed"]] + rng.normal(0, 0.004, len(table))
    return _with_accuracy(table, luck, rng).assign(trained_on="base")


def _with_accuracy(table: pd.DataFrame, luck: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    effective = table["n_base"] + table["n_real_plus"] + 0.5 * table["n_syn_plus"] ** 0.95
    shown = 0.98 - 1.6 * effective**-0.35 + luck
    return table.assign(accuracy=rng.binomial(_TOTAL, shown) / _TOTAL, total=_TOTAL)


TABLES = {
    "100": lambda: distinct(100),
    "1000": lambda: distinct(1000),
    "10000": lambda: distinct(10_000),
    "200000": lambda: repeated(200_000),
}


def measure(command: list[str], folder: str) -> str:
    """Run a command of `mousterian` in a folder; return CPU and wall-clock seconds and peak memory."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "mousterian", *command],
            stdout=subprocess.DEVNULL, stderr=errors, cwd=folder,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode().strip().splitlines()
    wall, busy = time.perf_counter() - began, used.ru_utime + used.ru_stime
    failed = f" (fails: {said[-1][:60]})" if process.returncode else ""
    return f"{busy:.1f} s | {wall:.1f} s | {used.ru_maxrss / 1e6:.2f} GB{failed}"


def main() -> None:
    """Measure the fits, and one answer from each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--limit", type=float, default=16.0, help="of memory, GB")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (int(given.limit * 1e9),) * 2)
    print("| rows | distinct cells | command | CPU | wall-clock | peak memory |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in given.only:
            table, path, fit = TABLES[name](), Path(folder) / f"{name}.csv", Path(folder) / f"{name}.json"
            table.to_csv(path, index=False)
            cells = len(table[COUNTS].drop_duplicates())
            for command in (["fit", str(path), "--out", str(fit)], ["equivalence", str(fit), *_ASKED]):
                if command[0] == "fit" or fit.exists():
                    found = measure(command, folder)
                    print(f"| {len(table):,} | {cells:,} | `{command[0]}` | {found} |", flush=True)


if __name__ == "__main__":
    main()
