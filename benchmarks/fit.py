"""The fit engine against its goals: speed, whole process, coverage, populations, extrapolation.

    OMP_NUM_THREADS=1 python benchmarks/fit.py speed
    python benchmarks/fit.py process
    python benchmarks/fit.py coverage --grids 100
    python benchmarks/fit.py population --grids 16
    python benchmarks/fit.py aa --grids 200
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
from collections.abc import Sequence
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
from mousterian.fitting.surface import Array, Points

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


# Kinds of population: standard deviations of the logarithm by which a level's images are more effective:
# its base set, real images added to it, its generator. `shared`: of one subset seed (or, for generators
# trained elsewhere, generator seed) over all base sizes, as a share of the variance.
POPULATIONS = {
    "subsets alone": {"base": 0.10, "real": 0.30, "generator": 0.0, "shared": 0.3, "trained_on": "base"},
    "generator of each base set": {"base": 0.05, "real": 0.15, "generator": 0.3, "shared": 0.0,
                                   "trained_on": "base"},
    "generator of each subset": {"base": 0.05, "real": 0.15, "generator": 0.3, "shared": 1.0,
                                 "trained_on": "upstream"},
    "generators trained elsewhere": {"base": 0.05, "real": 0.15, "generator": 0.3, "shared": 1.0,
                                     "trained_on": "elsewhere"},
}  # fmt: skip
# Seeds of subsets, generators and training, and how many times as many tables.
SIZES = {(1, 1, 1): 1, (1, 1, 3): 1, (2, 2, 2): 1, (3, 3, 1): 1, (4, 3, 1): 3, (4, 3, 3): 1, (6, 6, 1): 1}
# Surfaces that populations are drawn around, and base sizes and real images asked about.
AROUND = (
    "additive",
    "complementary",
    "effective_data",
    "effective_data_ceiling",
    "loglinear",
    "multiplicative",
)
POPULATION_ASKED = [(n, r * n) for n in (100, 200, 400) for r in (0.5, 1.0)]
_DRAWN = 1000


def population_grid(
    name: str, kind: str, size: tuple[int, int, int], seed: int, total: int = 4000
) -> pd.DataFrame:
    """Simulate a grid of bases 100 to 800 with seeds of subsets, generators and training."""
    rng = np.random.default_rng([seed, sorted(TRUTH).index(name), sorted(POPULATIONS).index(kind)])
    effects = POPULATIONS[kind]
    frames = []
    elsewhere = {g: rng.normal(0, effects["generator"]) for g in range(size[1])}
    for subset in range(size[0]):
        luck = _luck(rng, effects, BASES)
        upstream = {g: rng.normal(0, effects["generator"]) for g in range(size[1])}
        for n in BASES:
            for g in range(size[1]):
                own = {"base": rng.normal(0, effects["generator"]), "upstream": upstream[g],
                       "elsewhere": elsewhere[g]}[effects["trained_on"]]  # fmt: skip
                cells = [(n, 0, r * n) for r in (0.5, 1, 2, 4, 8)]
                cells += [(n, r * n, 0) for r in (0, 0.5, 1, 2)] if g == 0 else []
                table = pd.DataFrame(cells, columns=["n_base", "n_real_plus", "n_syn_plus"]).astype(float)
                mean = _with_luck(name, table.to_numpy(), *luck[n], own)
                for t in range(size[2]):
                    shown = np.clip(mean + rng.normal(0, 0.004, len(table)), 0.001, 0.999)
                    accuracy = rng.binomial(total, shown) / total
                    frames.append(table.assign(accuracy=accuracy, subset_seed=subset, generator_seed=g,
                                               training_seed=t))  # fmt: skip
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(total=total, trained_on=effects["trained_on"])


def _luck(rng: np.random.Generator, effects: dict[str, Any], bases: tuple[int, ...]) -> dict[int, Any]:
    """Return the luck of one subset seed's base sets, and of the real images added to them, by base size."""
    share, spread = effects["shared"], np.array([effects["base"], effects["real"]])
    common = rng.normal(0, 1, 2)
    return {
        n: tuple(spread * (np.sqrt(share) * common + np.sqrt(1 - share) * rng.normal(0, 1, 2))) for n in bases
    }


def _with_luck(name: str, cells: Array, base: Any, real: Any, syn: Any) -> Array:
    """Return accuracies at cells (M, 3) where images are exp(luck) times as effective."""
    n, r, s = cells.T
    points = Points.of(n * np.exp(base), r * np.exp(real), s * np.exp(syn))
    return surfaces.load(name).accuracy(points, np.array(TRUTH[name], dtype=float))


def population_truth(name: str, kind: str) -> tuple[Array, Array]:
    """Return equivalences of the population's mean accuracy, and the worth of twice as many as the base."""
    effects, rng = POPULATIONS[kind], np.random.default_rng(1)
    luck = rng.normal(0, 1, (_DRAWN, 3)) * [effects[part] for part in ("base", "real", "generator")]
    base, real = np.array(POPULATION_ASKED).T

    def mean(r: Any, s: Any) -> Array:
        cells = np.stack(np.broadcast_arrays(base, r, s), axis=1)
        return np.asarray(_with_luck(name, cells, *luck.T[:, :, None]).mean(axis=0))

    worth = bracket(lambda s: mean(0.0, s), mean(real, 0.0), 1e5)
    return worth, bracket(lambda r: mean(r, 0.0), mean(0.0, 2 * base), 1e5)


def population(tables: range, only: list[str], sizes: list[str]) -> None:
    """95 % intervals of the population's equivalence and worth, by number of seeds."""
    print("| population | subset × generator × training seeds | tables | equivalences covered (95 % bound) |"
          " worths covered | width, × | |\n|---|---|---|---|---|---|---|", flush=True)  # fmt: skip
    kinds = only or list(POPULATIONS)
    truths = {(name, kind): population_truth(name, kind) for name in AROUND for kind in kinds}
    for size, times in SIZES.items():
        if sizes and "x".join(map(str, size)) not in sizes:
            continue
        every = []
        for kind in kinds:
            numbers = range(times * tables.start, times * tables.stop)
            rows = [_population_row(AROUND[i % len(AROUND)], kind, size, i, truths) for i in numbers]
            _print_population(kind, size, rows)
            every += rows
        _print_population("all", size, every)


def _population_row(
    name: str, kind: str, size: tuple[int, int, int], seed: int, truths: dict[Any, Any]
) -> tuple[float, float, float, str]:
    """Return shares of a table's equivalences and worths covered, their width, and what they depend on."""
    base, real = np.array(POPULATION_ASKED).T
    fit = mousterian.fit(population_grid(name, kind, size, seed), bootstrap=300, seed=seed)
    found = [fit.averaged.synthetic_for(base, real), fit.averaged.real_for(base, 2 * base)]
    shares, width = [], 1.0
    for truth, (estimate, draws) in zip(truths[name, kind], found, strict=True):
        interval = Interval.of_draws(estimate, draws)
        # Truths within the range that a table measures.
        asked = truth <= 8 * base
        covered = (interval.low <= truth) & (truth <= interval.high)
        shares.append(float(covered[asked].mean()) if asked.any() else np.nan)
        if len(shares) == 1 and asked.any():
            width = float(np.median((np.maximum(interval.high, 1) / np.maximum(interval.low, 1))[asked]))
    return shares[0], shares[1], width, getattr(fit, "conditional", "")


def _print_population(kind: str, size: tuple[int, ...], rows: list[tuple[float, float, float, str]]) -> None:
    first, second, widths, told = zip(*rows, strict=True)
    print(f"| {kind} | {' × '.join(map(str, size))} | {len(rows)} | {_bound(first)} | {_bound(second)} |"
          f" {np.median(widths):.2f} | {told[0] or 'of the population'} |", flush=True)  # fmt: skip


# A/A tables: base sizes, multiples of real images and of pool images added, test images, training seeds.
AA_BASES, AA_REAL, AA_POOL, AA_TEST, AA_SEEDS = (50, 100), (0, 1, 2), (0.5, 1, 2, 4), 500, 2


def aa(tables: range, sizes: list[str]) -> None:
    """Pools of other real digits, worth exactly themselves: how often intervals cover 1:1."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    print("| subset seeds × pools each | 1:1 covered (95 % bound) | by question | width, × | estimate, × |\n"
          "|---|---|---|---|---|", flush=True)  # fmt: skip
    asked = [(float(n), float(r * n)) for n in AA_BASES for r in AA_REAL[1:]]
    base, real = (np.array(part) for part in zip(*asked, strict=True))
    for size in sizes or ["1x1", "4x3"]:
        subsets, pools = map(int, size.split("x"))
        rows = []
        for seed in tables:
            fit = mousterian.fit(aa_table(images, labels, subsets, pools, seed), bootstrap=300, seed=seed)
            estimate, draws = fit.averaged.synthetic_for(base, real)
            found = Interval.of_draws(estimate, draws)
            width = np.maximum(found.high, 1) / np.maximum(found.low, 1)
            rows.append((((found.low <= real) & (real <= found.high)), width, estimate / real))
        covered, widths, ratio = (np.array(part) for part in zip(*rows, strict=True))
        each = ", ".join(f"{share:.2f}" for share in covered.mean(axis=0))
        print(f"| {subsets} × {pools} | {_bound(covered.mean(axis=1))} | {each} | {np.median(widths):.2f} |"
              f" {np.median(ratio):.2f} |", flush=True)  # fmt: skip


def aa_table(images: Array, labels: Array, subsets: int, pools: int, seed: int) -> pd.DataFrame:
    """Return nearest-neighbour accuracies on re-drawn test images; a training seed chooses pixels."""
    rng = np.random.default_rng([seed, 17])
    order = rng.permutation(len(labels))
    test, train = order[:AA_TEST], order[AA_TEST:]
    pixels = [rng.permutation(images.shape[1])[: images.shape[1] // 2] for _ in range(AA_SEEDS)]
    far = [_distances(images[test][:, part], images[train][:, part]) for part in pixels]
    most = int(max(AA_BASES) * (1 + max(AA_REAL)))
    rows = []
    for subset in range(subsets):
        mine = rng.permutation(len(train))
        trials = [(n, r * n, 0, 0, mine[: int(n * (1 + r))]) for n in AA_BASES for r in AA_REAL]
        for pool in range(pools):
            other = rng.permutation(mine[most:])
            trials += [(n, 0, r * n, pool, np.concatenate([mine[:n], other[: int(r * n)]]))
                       for n in AA_BASES for r in AA_POOL]  # fmt: skip
        for *counts, pool, used in trials:
            for training_seed, distances in enumerate(far):
                nearest = labels[train[used[distances[:, used].argmin(axis=1)]]]
                rows.append((*counts, pool, subset, training_seed, float((nearest == labels[test]).mean())))
    names = ["n_base", "n_real_plus", "n_syn_plus", "generator_seed", "subset_seed", "training_seed"]
    return pd.DataFrame(rows, columns=[*names, "accuracy"]).assign(total=AA_TEST, trained_on="upstream")


def _distances(here: Array, there: Array) -> Array:
    """Return squared distances, (M, N)."""
    return (here**2).sum(axis=1)[:, None] - 2 * here @ there.T + (there**2).sum(axis=1)


def _bound(shares: Sequence[float] | Array) -> str:
    """Return a mean of tables' shares with its lower 95 % bound, by table."""
    values = np.array(shares)[np.isfinite(shares)]
    low = values.mean() - 1.645 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} ({low:.3f})"


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
    parser.add_argument("what", choices=["speed", "process", "coverage", "population", "aa", "lcdb"])
    parser.add_argument("--grids", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="of the grids")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--sizes", nargs="*", default=[], help="of populations: 4x3x1 …")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--curves", type=int, default=300)
    given = parser.parse_args()
    warnings.simplefilter("error")
    if given.what == "coverage":
        coverage(range(given.first, given.first + given.grids), given.only)
    elif given.what == "population":
        population(range(given.first, given.first + given.grids), given.only, given.sizes)
    elif given.what == "aa":
        aa(range(given.first, given.first + given.grids), given.sizes)
    elif given.what == "lcdb":
        lcdb(given.file, given.curves)
    else:
        {"speed": speed, "process": process}[given.what]()


if __name__ == "__main__":
    main()
