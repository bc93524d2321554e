"""Coverage of intervals about the population of subsets and generators: simulated populations, and A/A tests.

    OMP_NUM_THREADS=1 python benchmarks/population.py population --tables 16
    OMP_NUM_THREADS=1 python benchmarks/population.py aa --tables 200

Prints rows for benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from fit import BASES, TRUTH

import mousterian
from mousterian.fitting import surface as surfaces
from mousterian.fitting.interval import Interval
from mousterian.fitting.model_average import bracket
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Array, Points

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
    for size in sizes or ["1x1", "4x3"]:
        subsets, pools = map(int, size.split("x"))
        drawn = ((seed, aa_table(images, labels, subsets, pools, seed)) for seed in tables)
        print_aa(size, [aa_row(mousterian.fit(table, bootstrap=300, seed=seed)) for seed, table in drawn])


def aa_row(fit: Fit) -> tuple[Array, Array, Array]:
    """Return, by question, whether a fit's interval covers 1:1, its width, and its estimate, ×."""
    base, real = np.array([(n, r * n) for n in AA_BASES for r in AA_REAL[1:]], dtype=float).T
    estimate, draws = fit.averaged.synthetic_for(base, real)
    found = Interval.of_draws(estimate, draws)
    width = np.maximum(found.high, 1) / np.maximum(found.low, 1)
    return (found.low <= real) & (real <= found.high), width, estimate / real


def print_aa(size: str, rows: Sequence[tuple[Array, Array, Array]]) -> None:
    """Print the coverage of tables with so many subset seeds and pools of each."""
    covered, widths, ratio = (np.array(part) for part in zip(*rows, strict=True))
    each = ", ".join(f"{share:.2f}" for share in covered.mean(axis=0))
    print(f"| {size.replace('x', ' × ')} | {_bound(covered.mean(axis=1))} | {each} |"
          f" {np.median(widths):.2f} | {np.median(ratio):.2f} |", flush=True)  # fmt: skip


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


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["population", "aa"])
    parser.add_argument("--tables", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="of the tables")
    parser.add_argument("--only", nargs="*", default=[], help="of the kinds of population")
    parser.add_argument("--sizes", nargs="*", default=[], help="seeds: 4x3x1 …")
    given = parser.parse_args()
    warnings.simplefilter("error")
    tables = range(given.first, given.first + given.tables)
    if given.what == "aa":
        aa(tables, given.sizes)
    else:
        population(tables, given.only, given.sizes)


if __name__ == "__main__":
    main()
