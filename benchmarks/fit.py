"""The fit engine against its goals: speed, whole process, coverage, extrapolation on LCDB.

    OMP_NUM_THREADS=1 python benchmarks/fit.py speed
    python benchmarks/fit.py process
    python benchmarks/fit.py coverage --grids 100
    python benchmarks/fit.py few --grids 30
    python benchmarks/fit.py lcdb --file database-accuracy.csv --curves 1000

LCDB 1.0 is the PyPI package `lcdb`: unpack its source archive and pass its database-accuracy.csv.
Prints rows for benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

import mousterian
from mousterian.errors import InputError
from mousterian.fitting import surface as surfaces
from mousterian.fitting.interval import Interval
from mousterian.fitting.least_squares import minimise
from mousterian.fitting.model_average import bracket
from mousterian.fitting.surface import Points

_REPEATS = 5
# A plausible truth of each surface on bases of 100 to 800 images, in the order of its parameters.
TRUTH = {
    "additive": (0.98, 2.0, 0.5, 0.15, 100, 0.8),
    "complementary": (0.95, 60, 0.5, 0.8, 0.8, 0.6),
    "effective_data": (0.98, 1.6, 0.5, 0.8, 0.4),
    "effective_data_bounded": (0.95, 60, 0.5, 0.8, 0.8),
    "effective_data_ceiling": (0.97, 2.0, 300, 500, 0.4),
    "effective_data_sigmoid": (0.95, 0.105, 90, 0.5, 0.8, 1.1),
    "harmful": (0.98, 1.6, 0.5, 0.8, 0.4, 0.01),
    "harmful_bounded": (0.98, 1.6, 0.5, 0.8, 0.4, 0.04),
    "loglinear": (0.2, 0.06, 0.09, 0.04, 0.6, 0.001),
    "loglinear_saturating": (0.9, 0.5, 400, 0.2, 0.09, 0.6, 0.001),
    "multiplicative": (0.98, 2.0, 0.4, 50, 0.25),
}
BASES = (100, 200, 400, 800)
ASKED = [(n, r) for n in (100, 200, 300, 400, 800) for r in (0.25, 0.5, 1.0, 2.0)]


def grid(name: str, seed: int, *, seeds: int = 3, total: int = 2000) -> pd.DataFrame:
    """Simulate a grid of 36 cells: test-set noise, a seed effect per base (0.3 points), trial noise (0.4)."""
    cells = [(n, 0, r * n) for n in BASES for r in (0, 0.5, 1, 2, 4, 8)]
    cells += [(n, r * n, 0) for n in BASES for r in (0.5, 1, 2)]
    rng = np.random.default_rng([seed, sorted(TRUTH).index(name)])
    table = pd.DataFrame(cells, columns=["n_base", "n_real_plus", "n_syn_plus"]).astype(float)
    surface = surfaces.load(name)
    mean = surface.accuracy(Points(*table.to_numpy().T), np.array(TRUTH[name], dtype=float))
    frames = []
    for training_seed in range(seeds):
        effect = table["n_base"].map({n: rng.normal(0, 0.003) for n in BASES})
        shown = np.clip(mean + effect + rng.normal(0, 0.004, len(table)), 0.001, 0.999)
        frames.append(table.assign(accuracy=rng.binomial(total, shown) / total, training_seed=training_seed))
    return pd.concat(frames, ignore_index=True).assign(subset_seed=0, total=total)


def speed() -> None:
    """One surface, 240 rows: 1000 draws in one batch against a loop of curve_fit; CPU seconds."""
    from scipy.optimize import curve_fit

    surface, theta = surfaces.load("effective_data"), np.array(TRUTH["effective_data"])
    table = pd.concat([grid("effective_data", seed) for seed in range(3)])[:240]
    points = Points(*table[["n_base", "n_real_plus", "n_syn_plus"]].to_numpy(dtype=float).T)
    mean = surface.accuracy(points, theta)
    draws = mean + 0.005 * np.random.default_rng(0).standard_normal((1000, 240))
    start = np.repeat(surface.unbounded(theta)[None], 1000, axis=0)
    batch, loop, converged = [], [], 0.0
    for _ in range(_REPEATS):
        began = time.process_time()
        found = minimise(surface.model(points), draws, np.ones(240), start, limits=surface.limits,
                         iterations=15, tolerance=1e-6)  # fmt: skip
        batch.append(time.process_time() - began)
        converged = float(found.converged.mean())
        began = time.process_time()
        for row in draws[:50]:
            curve_fit(lambda _, *p: surface.accuracy(points, np.array(p)), None, row, p0=theta, maxfev=2000)
        loop.append(20 * (time.process_time() - began))
    ours, theirs = median(batch), median(loop)
    print(f"| 1000 draws, 240 rows, one surface | curve_fit loop {theirs:.2f} s | {ours:.2f} s | "
          f"{theirs / ours:.1f}× | converged {converged:.3f} |")  # fmt: skip


def process() -> None:
    """`mousterian fit` on 100 rows with all surfaces and 1000 draws, the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.csv"
        grid("effective_data", 0)[:100].to_csv(path, index=False)
        command = [sys.executable, "-m", "mousterian", "fit", str(path), "--bootstrap", "1000"]
        times, busy = [], []
        for _ in range(_REPEATS):
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(
                [*command, "--out", str(Path(folder) / "fit.json")], check=True, capture_output=True
            )
            times.append(time.perf_counter() - began)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            busy.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"| whole process, all surfaces, 1000 draws, 100 rows | – | {median(times):.2f} s | – | "
          f"CPU {median(busy):.2f} s |")  # fmt: skip


def coverage(grids: range, only: list[str]) -> None:
    """95 % intervals of n_syn_plus on grids simulated from each surface, fitted with `auto`."""
    print("| truth | inside | near | extrapolated | below | above |\n|---|---|---|---|---|---|")
    base, real = (np.array(part, dtype=float) for part in zip(*[(n, r * n) for n, r in ASKED], strict=True))
    for name in only or sorted(TRUTH):
        surface, theta = surfaces.load(name), np.array(TRUTH[name], dtype=float)
        target = surface.accuracy(Points.of(base, real), theta)
        truth = bracket(lambda n, s=surface, t=theta: s.accuracy(Points.of(base, 0.0, n), t), target, 1e7)
        rows = []
        for seed in grids:
            fit = mousterian.fit(grid(name, seed), bootstrap=200, seed=seed)
            estimate, draws = fit.averaged.synthetic_for(base, real)
            found = Interval.of_draws(estimate, draws)
            trust = [fit.measured.trust(n, m, s) for n, m, s in zip(base, real, estimate, strict=True)]
            rows += zip(trust, truth < found.low, truth > found.high, strict=True)
        table = pd.DataFrame(rows, columns=["trust", "below", "above"])
        covered = ~(table["below"] | table["above"])
        kinds = [covered[table["trust"] == kind] for kind in ("inside", "near", "extrapolated")]
        shares = " | ".join(f"{kind.mean():.3f} ({len(kind)})" for kind in kinds)
        inside = table[table["trust"] == "inside"]
        print(
            f"| {name} | {shares} | {inside['below'].mean():.3f} | {inside['above'].mean():.3f} |", flush=True
        )


# Truths of few-row tables: none is an installed surface, and no constant was set on them.
_FEW_TRUTHS = {
    "power": lambda n, s, base: 0.95 - 4 * (n + 0.3 * s) ** -0.45,
    "saturating": lambda n, s, base: 0.97 - 2.2 * (n + 0.4 * base * -np.expm1(-s / base)) ** -0.35,
    "logistic": lambda n, s, base: 0.9 / (1 + (300 / (n + 0.5 * s**0.9)) ** 0.8),
    "logarithmic": lambda n, s, base: 0.25 + 0.07 * np.log(n) + 0.03 * np.log1p(s / (0.7 * base)),
}
_FEW_CELLS = [(500, 0, 0), (500, 0, 500), (500, 500, 0), (500, 0, 1000)]
_FEW_CELLS += [(2 * base, 2 * real, 2 * syn) for base, real, syn in _FEW_CELLS]
_FEW_ROWS = {2: _FEW_CELLS[:2], 4: _FEW_CELLS[:4], 8: _FEW_CELLS, 16: 2 * _FEW_CELLS}


def few(tables: range) -> None:
    """95 % intervals of 500 synthetic images' worth at 500 base images, from tables of 2 to 16 rows.

    Accuracies have the noise of 1,000 test images and 0.5 points between trials; 16 rows are 8 cells twice.
    """
    print("| rows | `total` | tables | refused | no interval | covered | below | above | interval, medians |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count, cells in _FEW_ROWS.items():
        for known in (False, True):
            found = [
                _few_one(name, truth, cells, seed, known)
                for name, truth in _FEW_TRUTHS.items()
                for seed in tables
            ]
            kinds = [each for each in found if isinstance(each, str)]
            ends = np.array([each for each in found if not isinstance(each, str)]).reshape(-1, 3)
            print(
                f"| {count} | {'yes' if known else 'no'} | {len(found)} | {kinds.count('refused')} |"
                f" {kinds.count('none')} | {_few_covered(ends) if len(ends) else '– | – | – | –'} |",
                flush=True,
            )


def _few_covered(ends: np.ndarray) -> str:
    """Return the share covered, the shares below and above, and median ends of (truth, low, high), (N, 3)."""
    below, above = ends[:, 0] < ends[:, 1], ends[:, 0] > ends[:, 2]
    low, high = np.median(ends[:, 1:], axis=0)
    shares = (1 - np.mean(below | above), below.mean(), above.mean())
    return " | ".join([*(f"{share:.2f}" for share in shares), f"{low:.0f} to {high:.0f}"])


def _few_one(
    name: str, truth: Any, cells: list[tuple[int, int, int]], seed: int, known: bool
) -> str | tuple[float, float, float]:
    """Return the true worth with its interval; "refused", or "none" where no interval is given."""
    rng = np.random.default_rng([seed, list(_FEW_TRUTHS).index(name)])
    rows = pd.DataFrame(cells, columns=["n_base", "n_real_plus", "n_syn_plus"])
    mean = truth(rows["n_base"] + rows["n_real_plus"], rows["n_syn_plus"], rows["n_base"])
    shown = np.clip(mean + rng.normal(0, 0.005, len(rows)), 0, 1)
    rows = rows.assign(accuracy=rng.binomial(1000, shown) / 1000)
    target = np.array([truth(500.0, 500.0, 500.0)])
    worth = bracket(lambda count: truth(500.0 + count, 0.0, 500.0), target, 1e5)[0]
    try:
        fit = mousterian.fit(rows.assign(total=1000) if known else rows, bootstrap=200, seed=seed)
        found = fit.equivalence(n_base=500, n_syn_plus=500).n_real_plus
    except InputError:
        return "refused"
    if not isinstance(found, Interval):
        return float(worth), 5000.0, np.inf
    return "none" if np.isnan(found.low) else (float(worth), found.low, found.high)


def lcdb(file: Path, curves: int) -> None:
    """Extrapolate learning curves to four times the largest size they were fitted to (n_syn_plus is 0).

    The first 1,200 pairs of data set and learner in this order are left out: the constants of
    `fitting/extrapolation.py` were calibrated on some of them.
    """
    columns = ["openmlid", "learner", "size_train", "size_test", "outer_seed", "inner_seed", "score_test"]
    groups = list(pd.read_csv(file, usecols=columns).groupby(["openmlid", "learner"]))
    rows, failed, began = [], 0, time.perf_counter()
    for index in np.random.default_rng(12345).permutation(len(groups))[1200:]:
        table, size, truth = _split(groups[index][1])
        if table is None:
            continue
        try:
            fit = mousterian.fit(table, bootstrap=400)
        except InputError:
            failed += 1
            continue
        rows.append(_extrapolated(fit, size, truth))
        if len(rows) >= curves:
            break
    found = pd.DataFrame(rows)
    points = (100 * found.drop(columns="covered")).mean().round(2).to_dict()
    middle = (100 * found[["error", "width"]]).median().round(2).to_dict()
    print(f"LCDB, {len(found)} curves; {failed} more failed;", end=" ")
    print(f"{(time.perf_counter() - began) / len(found):.2f} s each")
    print(
        f"mean error, points: {points.pop('error')} (median {middle['error']}); 95 % intervals cover", end=" "
    )
    print(f"{found['covered'].mean():.3f}, width {points.pop('width')} (median {middle['width']})")
    print(f"mean errors of others: {points}", flush=True)


def _split(curve: pd.DataFrame) -> tuple[pd.DataFrame | None, int, float]:
    """Return a curve's trials up to a quarter of its largest size, that size, and the mean accuracy there."""
    powers = {int(16 * 2 ** (k / 2) + add) for k in range(30) for add in (0, 0.999)}
    counts = curve.groupby("size_train").size()
    sizes = [size for size in counts.index if counts[size] >= 20 and size in powers]
    known = [size for size in sizes if size <= max(sizes) / 4 * 1.01]
    if len(known) < 6:
        return None, 0, 0.0
    names = {"size_train": "n_base", "score_test": "accuracy", "size_test": "total",
             "inner_seed": "training_seed", "outer_seed": "subset_seed"}  # fmt: skip
    table = curve[curve["size_train"].isin(known)].rename(columns=names).assign(n_real_plus=0, n_syn_plus=0)
    return table, max(sizes), float(curve.loc[curve["size_train"] == max(sizes), "score_test"].mean())


def _extrapolated(fit: mousterian.Fit, size: int, truth: float) -> dict[str, float]:
    """Return the errors of the fit, of its surfaces averaged by AICc, of their median, of some alone."""
    answer, past, point = fit.predict(size), fit.averaged.extrapolation, Points.of([float(size)])
    assert past is not None
    alone = {
        surface.name: float(np.clip(surface.accuracy(point, theta)[0], 0, 1))
        for surface, theta in zip(past.surfaces, past.thetas, strict=True)
    }
    by_aicc = sum(
        m.weight * float(np.clip(m.surface.accuracy(point, m.theta)[0], 0, 1)) for m in fit.averaged.members
    )
    others = {"AICc average": by_aicc, "median of surfaces": float(np.median(list(alone.values())))}
    others |= {name: alone[name] for name in ("effective_data", "effective_data_bounded") if name in alone}
    errors = {name: abs(value - truth) for name, value in others.items()}
    covered = answer.low <= truth <= answer.high
    return {
        "error": abs(answer.estimate - truth),
        "covered": covered,
        "width": answer.high - answer.low,
    } | errors


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["speed", "process", "coverage", "few", "lcdb"])
    parser.add_argument("--grids", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="of the grids")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--file", type=Path)
    parser.add_argument("--curves", type=int, default=300)
    given = parser.parse_args()
    warnings.simplefilter("error")
    if given.what == "coverage":
        coverage(range(given.first, given.first + given.grids), given.only)
    elif given.what == "few":
        few(range(given.first, given.first + given.grids))
    elif given.what == "lcdb":
        lcdb(given.file, given.curves)
    else:
        {"speed": speed, "process": process}[given.what]()


if __name__ == "__main__":
    main()
