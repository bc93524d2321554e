"""Where scatter comes from: the test set, the training seed, the subset; and draws that redo it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mousterian.fitting.surface import Array
from mousterian.fitting.table import Table

# A row's leverage is never taken as more than this: its own residual says little about its noise then.
_MOST_LEVERAGE = 0.8
# The test set's noise counts for the scatter of trials as much as this many rows left over do.
_PRIOR_FREEDOM = 2.0


# Powers of the number of real images that the variance within cells may go with; how many trials beyond
# their cells' first, at how many sizes, it takes to tell; and how much likelier than none (twice the
# logarithm) a power has to be.
_POWERS = np.linspace(-3.0, 1.0, 81)
_REPEATS, _SIZES, _CLEARLY = 20.0, 4, 6.0
# Groups tell what they share only where the fit leaves them as much freedom as this.
_LEAST_FREEDOM = 1.0
# However few the clusters, their variance is taken to be known as well as from this many.
_UNCERTAIN = 4.0


@dataclass(frozen=True)
class Components:
    """Variances of one trial's accuracy (fractions squared).

    Attributes:
        test_set: binomial variance of a test set of this size, mean over rows; NaN where no totals are known.
        seed: between training seeds on the same base set, shared by all mixtures with that base and seed.
        subset: between base sets, shared by all mixtures with that base set; with one subset seed it also
            holds what the surface misses at each base size.
        trial: what is left: between trials that share base set and seed.
    """

    test_set: float
    seed: float
    subset: float
    trial: float


def binomial(table: Table) -> Array:
    """Return the binomial variance of each row's accuracy, (R,); NaN where the test set is not known."""
    total = table.rows["total"].to_numpy(dtype=float)
    # Agresti and Coull: two successes and two failures more, so that 100 % right is not free of noise.
    share = (table.accuracy * total + 2) / (total + 4)
    return np.asarray(share * (1 - share) / total)


def row_weights(table: Table, residual: Array, keep: Array, spent: int) -> Array:
    """Return weights of mean 1: the given ones over each row's variance.

    The variance is that of trials of one cell as it goes with the number of real images, where enough cells
    were measured more than once to tell; else the binomial one and what scatters beyond it.

    Args:
        table: the rows.
        residual: of each row, (R,).
        keep: rows that count, (R,) bool.
        spent: parameters that the fit identified.
    """
    given = table.rows["weight"].to_numpy(dtype=float)
    noise = binomial(table)
    by_size = _by_size(table, keep)
    if by_size is not None:
        weights = given / by_size
    elif np.isnan(noise).any():
        weights = given
    else:
        freedom = max(int(keep.sum()) - spent, 1)
        extra = max(float((residual[keep] ** 2).sum()) / freedom - float(noise[keep].mean()), 0.0)
        # Trials share one test set, so its noise is at most part of their scatter.
        weights = given / (noise + max(extra, 1e-3 * float(noise.mean())))
    weights = np.where(keep, weights, 0.0)
    return np.asarray(weights / weights[keep].mean())


def _by_size(table: Table, keep: Array) -> Array | None:
    """Return the variance of each row as a power of its real images, (R,), up to a factor.

    Small training sets scatter more. The power is the likeliest one for the variances within cells (gamma
    regression); None where there are too few repeated cells, or no power is clearly likelier than none.
    """
    at = np.unique(table.cell[keep], return_inverse=True)[1]
    counts = np.bincount(at).astype(float)
    means = np.bincount(at, table.accuracy[keep]) / counts
    squares = np.bincount(at, (table.accuracy[keep] - means[at]) ** 2)
    real = table.rows["n_base"].to_numpy(dtype=float) + table.rows["n_real_plus"].to_numpy(dtype=float)
    size = np.log(np.maximum(real, 1.0))
    of_cell = np.bincount(at, size[keep]) / counts
    repeated = (counts > 1) & (squares > 0)
    freedom, squares, of_cell = counts[repeated] - 1, squares[repeated], of_cell[repeated]
    if freedom.sum() < _REPEATS or len(np.unique(of_cell)) < _SIZES:
        return None
    scale = (squares * np.exp(-np.outer(_POWERS, of_cell))).sum(axis=1) / freedom.sum()
    unlikely = freedom.sum() * np.log(scale) + _POWERS * (freedom * of_cell).sum()
    best = int(np.argmin(unlikely))
    if unlikely[np.argmin(np.abs(_POWERS))] - unlikely[best] < _CLEARLY:
        return None
    return np.asarray(np.exp(_POWERS[best] * size))


def _clusters(table: Table) -> tuple[Array | None, Array | None]:
    """Return each row's base set and base set with seed as numbers, (R,); None where no seeds are given."""
    rows = table.rows
    subsets = rows["subset_seed"].fillna(-1).rename("subset")
    by_subset = [rows["n_base"], subsets]
    subset = np.asarray(rows.groupby(by_subset, sort=True).ngroup(), dtype=int)
    if rows["training_seed"].isna().any():
        return (None if rows["subset_seed"].isna().all() else subset), None
    return subset, np.asarray(
        rows.groupby([*by_subset, rows["training_seed"]], sort=True).ngroup(), dtype=int
    )


@dataclass(frozen=True)
class _Groups:
    """Residuals by group: means and sizes, variance within and between, and the freedom of the latter."""

    means: Array
    sizes: Array
    within: float
    between: float
    freedom: float


def _grouped(values: Array, groups: Array, basis: Array) -> _Groups:
    """Return the variance within and (by moments, not negative) between groups of residuals.

    Args:
        values: residuals, (R,).
        groups: number of each one's group, (R,).
        basis: directions that the fit follows, (spent, R): it takes up part of what groups share, so that
            their means scatter less than what they share does.
    """
    sizes = np.bincount(groups).astype(float)
    means = np.bincount(groups, values) / sizes
    count, total = len(sizes), float(len(values))
    shared = np.zeros((len(basis), count))
    np.add.at(shared.T, groups, basis.T)
    followed = float((shared**2 / sizes).sum())
    left = total - count - (float((basis**2).sum()) - followed)
    freedom = count - followed
    if count < 2 or left < 1 or freedom < _LEAST_FREEDOM:
        return _Groups(means, sizes, 0.0, 0.0, 0.0)
    within = float(((values - means[groups]) ** 2).sum()) / left
    spread = float((sizes * means**2).sum()) / freedom
    typical = (total - float((sizes**2).sum()) / total) / (count - 1)
    return _Groups(means, sizes, within, max((spread - within) / typical, 0.0), freedom)


@dataclass(frozen=True)
class Scatter:
    """How residuals of one fit scatter.

    Attributes:
        own: each row's own part, (R,).
        clusters: effects shared within clusters: number of each row's cluster, (R,), the variance of the
            effects, and the freedom that it was estimated with.
        components: the variances.
    """

    own: Array
    clusters: tuple[tuple[Array, float, float], ...]
    components: Components

    def draws(self, fitted: Array, count: int, rng: np.random.Generator) -> Array:
        """Return accuracies (count, R) as other trials might have given them.

        Each row's own part changes sign at random (wild bootstrap); shared effects are drawn anew, one a
        cluster, their variance as uncertain as few clusters leave it.
        """
        drawn = fitted + self.own * (2.0 * rng.integers(0, 2, (count, len(fitted))) - 1.0)
        for groups, variance, freedom in self.clusters:
            size = np.sqrt(variance * freedom / rng.chisquare(freedom, count))[:, None]
            drawn += size * rng.standard_normal((count, int(groups.max()) + 1))[:, groups]
        return np.asarray(drawn)


def scatter(table: Table, residual: Array, leverage: Array, basis: Array, keep: Array) -> Scatter:
    """Split residuals (R,) into components.

    Args:
        table: the rows.
        residual: of each row, (R,).
        leverage: of each row, (R,): its own part is corrected for it.
        basis: directions that the fit follows, (spent, R).
        keep: rows that count, (R,) bool.
    """
    subset, seed = _clusters(table)
    left = residual.copy()
    clusters = []
    found = {"seed": 0.0, "subset": 0.0}
    # Base sets first; what seeds share beyond that is then looked for in what they leave.
    for name, groups in (("subset", subset), ("seed", seed)):
        if groups is None or not keep.any():
            continue
        numbers = np.unique(groups[keep], return_inverse=True)[1]
        split = _grouped(left[keep], numbers, basis[:, keep])
        between = split.between
        if between == 0.0:
            continue
        found[name] = between
        clusters.append((groups, between, max(split.freedom, _UNCERTAIN)))
        left[keep] -= (split.means * between / (between + split.within / split.sizes))[numbers]
    own = np.where(keep, left / (1.0 - np.minimum(leverage, _MOST_LEVERAGE)), 0.0)
    noise, freedom = binomial(table), float(keep.sum() - leverage[keep].sum())
    trial = float((left[keep] ** 2).sum()) / max(freedom, 1.0)
    if not np.isnan(noise).any():
        # Where nearly all rows are spent no residuals are left; the test set's own noise is then the guide.
        expected = (freedom * trial + _PRIOR_FREEDOM * noise) / (freedom + _PRIOR_FREEDOM)
        lacking = np.maximum(expected - float((own[keep] ** 2).mean()), 0.0)
        own = np.where(keep, np.where(left < 0, -1.0, 1.0) * np.sqrt(own**2 + lacking), 0.0)
    test_set = float(noise.mean())
    return Scatter(own, tuple(clusters), Components(test_set, found["seed"], found["subset"], trial))
