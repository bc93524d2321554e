"""Coverage on real digits: 24 subset seeds, each with its own generator, and tables of a few of them.

    mousterian grid grids/digits-24.toml --store results/digits-24    # or the committed rows
    OMP_NUM_THREADS=1 python benchmarks/digits_subsets.py --store fits/digits-24/rows

The population's equivalences are those of the fit of all 24 subsets; leaving out each in turn gives their
standard error (jackknife). Tables of 1 to 8 subset seeds are disjoint as far as these go, then drawn without
replacement. Their intervals are compared with three truths, since there are no other digits: that of all 24,
which shares the table's data (too kind); that of the other subsets, which errs by itself (too strict); and
the same with its error added to the interval in squares. Truth and tables are fitted by the same surfaces, so
that a wrong form, which they share, is not seen here. Prints rows for benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

import mousterian
from mousterian.fitting.arms import read_arms
from mousterian.fitting.interval import Interval
from mousterian.fitting.surface import Array

_ASKED = np.array([(n, r * n) for n in (30, 60, 120) for r in (0.5, 1, 2)], dtype=float).T
_SIZES, _TABLES, _SEEDS = (1, 2, 3, 4, 6, 8), 24, (3, 1)
# Most synthetic images of the grid, as a ratio to the base: a truth beyond is not asked about.
_MOST = 16


class _Table(NamedTuple):
    """Logarithms of n_syn_plus by question, each (Q,): a table's interval, and the truth of other subsets."""

    estimate: Array
    low: Array
    high: Array
    others: Array


def _logs(rows: pd.DataFrame, bootstrap: int) -> tuple[Array, Array, Array]:
    """Return logarithms of the estimates, lower and upper ends of n_syn_plus, each (Q,); ±inf if open."""
    fit = mousterian.fit(rows, bootstrap=bootstrap)
    found = Interval.of_draws(*fit.averaged.synthetic_for(*_ASKED))
    with np.errstate(divide="ignore"):
        estimate, low, high = (np.log(each) for each in (found.estimate, found.low, found.high))
    return estimate, low, high


def _groups(subsets: Array, size: int) -> list[Array]:
    """Return groups of so many subset seeds: disjoint ones first, then drawn without replacement."""
    rng = np.random.default_rng(size)
    order = rng.permutation(subsets)
    disjoint = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
    return disjoint + [rng.choice(subsets, size, replace=False) for _ in range(_TABLES - len(disjoint))]


def _print_population(truth: Array, error: Array) -> None:
    print("| n_base | real images added | n_syn_plus of the population (jackknife 95 %) |\n|---|---|---|")
    quantile = float(stdtrit(_TABLES - 1, 0.975))
    for base, real, middle, each in zip(*_ASKED, truth, error, strict=True):
        low, high = np.exp([middle - quantile * each, middle + quantile * each])
        shown = f"{np.exp(middle):.0f} ({low:.0f}–{high:.0f})" if np.isfinite(each) else "none"
        print(f"| {base:.0f} | {real:.0f} | {shown} |", flush=True)


def _print_tables(size: int, seeds: int, tables: list[_Table], truth: Array, error: Array) -> None:
    """Print the coverage of tables of so many subset and training seeds, at questions that have a truth."""
    estimate, low, high, others = (np.stack(part) for part in zip(*tables, strict=True))
    asked = np.isfinite(error) & (truth <= np.log(_MOST * _ASKED[0]))
    own = 1.96 * error * np.sqrt(_TABLES / (_TABLES - size))
    with np.errstate(invalid="ignore"):
        wider = [estimate - np.hypot(estimate - low, own), estimate + np.hypot(high - estimate, own)]
        shares = [
            (a <= t) & (t <= b) for a, b, t in ((low, high, truth), (low, high, others), (*wider, others))
        ]
        quantile = float(stdtrit(size - 1, 0.975)) if size > 2 else 1.96
        implied = np.median(((high - low) / (2 * quantile))[:, asked], axis=0)
    finite = np.where(np.isfinite(estimate), estimate, np.nan)
    spread = np.sqrt(np.nanmean(np.nanvar(finite[:, asked], axis=0, ddof=1)))
    covered = " | ".join(f"{each[:, asked].mean():.2f}" for each in shares)
    width = np.median(np.exp(high - low)[:, asked])
    missing = 1 - np.isfinite(estimate[:, asked]).mean()
    print(f"| {size} | {seeds} | {covered} | {width:.2f} | {spread:.2f} | {np.median(implied):.2f} |"
          f" {missing:.2f} |", flush=True)  # fmt: skip


def digits(store: Path) -> None:
    """Print the population's equivalences and the coverage of tables of a few subsets."""
    rows = read_arms([str(store)], Path(), [])[0][0].rows
    subsets = np.unique(rows["subset_seed"])
    truth = _logs(rows, 20)[0]
    left = np.stack([_logs(rows[rows["subset_seed"] != each], 20)[0] for each in subsets])
    # Where synthetic images never reach as much, the population has no answer to ask about.
    error = np.sqrt((len(subsets) - 1) * np.where(np.isfinite(left), left, np.nan).var(axis=0))
    _print_population(truth, error)
    print("| subset seeds | training seeds | covered: all 24 | the others | the others, with their error |"
          " width, × | sd of ln estimates | implied | no answer |\n|---|---|---|---|---|---|---|---|---|",
          flush=True)  # fmt: skip
    for size in _SIZES:
        found: dict[int, list[_Table]] = {seeds: [] for seeds in _SEEDS}
        for group in _groups(subsets, size):
            inside = rows["subset_seed"].isin(group)
            others = left[subsets == group[0]][0] if size == 1 else _logs(rows[~inside], 20)[0]
            for seeds in _SEEDS:
                mine = rows[inside & (rows["training_seed"] < seeds)]
                found[seeds].append(_Table(*_logs(mine, 300), others))
        for seeds, tables in found.items():
            _print_tables(size, seeds, tables, truth, error)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True)
    given = parser.parse_args()
    warnings.simplefilter("error")
    digits(given.store)


if __name__ == "__main__":
    main()
