"""Variance components (test set, training seed, subset) and the bootstrap draws that reproduce them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mousterian.fitting.population import Spread, spreads
from mousterian.fitting.problem import Fitted, Problem
from mousterian.fitting.surface import Array
from mousterian.fitting.table import Table

# Cap on a row's leverage: beyond it, its own residual says little about its noise.
_MOST_LEVERAGE = 0.8
# Prior degrees of freedom of the test set's noise as an estimate of the trials' variance.
_PRIOR_FREEDOM = 2.0
# Exponents tried for the within-cell variance as a power of the number of real images; the replicates and
# sizes needed to estimate it; and the least likelihood ratio statistic in its favour.
_POWERS = np.linspace(-3.0, 1.0, 81)
_REPEATS, _SIZES, _LEAST_RATIO = 20.0, 4, 6.0
# Least degrees of freedom between groups to estimate a shared effect.
_LEAST_FREEDOM = 1.0
# Least degrees of freedom assumed of a cluster variance.
_LEAST_CLUSTER_FREEDOM = 4.0


@dataclass(frozen=True)
class Components:
    """Variances of one trial's accuracy (fractions squared).

    Attributes:
        test_set: binomial variance of a test set of this size, mean over rows; NaN where totals are unknown.
        seed: between training seeds on the same base set, shared by all mixtures with that base and seed.
        subset: between base sets, shared by all mixtures with that base set; with one subset seed it
            includes the surface's lack of fit at each base size.
        trial: residual: between trials that share base set and seed.
    """

    test_set: float
    seed: float
    subset: float
    trial: float


def binomial(table: Table) -> Array:
    """Return the binomial variance of each row's accuracy, (R,); NaN where its test set is unknown."""
    total = table.rows["total"].to_numpy(dtype=float)
    # Agresti–Coull: two more successes and two more failures, so that 100 % accuracy is not noise-free.
    share = (table.accuracy * total + 2) / (total + 4)
    return np.asarray(share * (1 - share) / total)


def row_weights(table: Table, residual: Array, keep: Array, effective_parameters: int) -> Array:
    """Return weights of mean 1: the given ones over each row's variance.

    The variance is the within-cell one as a function of the number of real images where there are enough
    replicates to estimate it; else binomial plus overdispersion.

    Args:
        table: the rows.
        residual: of each row, (R,).
        keep: rows that count, (R,) bool.
        effective_parameters: of the fit.
    """
    given = table.rows["weight"].to_numpy(dtype=float)
    noise = binomial(table)
    by_size = _by_size(table, keep)
    if by_size is not None:
        weights = given / by_size
    elif np.isnan(noise).any():
        weights = given
    else:
        freedom = max(int(keep.sum()) - effective_parameters, 1)
        extra = max(float((residual[keep] ** 2).sum()) / freedom - float(noise[keep].mean()), 0.0)
        # Trials share one test set, so its noise accounts for part of their scatter at most.
        weights = given / (noise + max(extra, 1e-3 * float(noise.mean())))
    weights = np.where(keep, weights, 0.0)
    return np.asarray(weights / weights[keep].mean())


def _by_size(table: Table, keep: Array) -> Array | None:
    """Return the variance of each row as a power of its real images, (R,), up to a factor.

    Small training sets scatter more. The exponent maximises the likelihood of the within-cell variances
    (gamma regression). None where there are too few replicates, or no significant dependence.
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
    deviance = freedom.sum() * np.log(scale) + _POWERS * (freedom * of_cell).sum()
    best = int(np.argmin(deviance))
    if deviance[np.argmin(np.abs(_POWERS))] - deviance[best] < _LEAST_RATIO:
        return None
    return np.asarray(np.exp(_POWERS[best] * size))


def _clusters(table: Table) -> tuple[Array | None, Array | None]:
    """Return indices of each row's base set, and of its base set and seed, (R,); None without seeds."""
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
    """Residuals by group: means, sizes, variances within and between, degrees of freedom of the latter."""

    means: Array
    sizes: Array
    within: float
    between: float
    freedom: float


def _grouped(values: Array, groups: Array, basis: Array) -> _Groups:
    """Return the variances of residuals within and between groups (method of moments, not negative).

    Args:
        values: residuals, (R,).
        groups: index of each one's group, (R,).
        basis: of the fit's tangent space, (effective_parameters, R): the fit absorbs part of the shared
            effects, so that group means scatter less than these.
    """
    sizes = np.bincount(groups).astype(float)
    means = np.bincount(groups, values) / sizes
    count, total = len(sizes), float(len(values))
    shared = np.zeros((len(basis), count))
    np.add.at(shared.T, groups, basis.T)
    absorbed = float((shared**2 / sizes).sum())
    within_freedom = total - count - (float((basis**2).sum()) - absorbed)
    freedom = count - absorbed
    if count < 2 or within_freedom < 1 or freedom < _LEAST_FREEDOM:
        return _Groups(means, sizes, 0.0, 0.0, 0.0)
    within = float(((values - means[groups]) ** 2).sum()) / within_freedom
    spread = float((sizes * means**2).sum()) / freedom
    typical = (total - float((sizes**2).sum()) / total) / (count - 1)
    return _Groups(means, sizes, within, max((spread - within) / typical, 0.0), freedom)


@dataclass(frozen=True)
class Scatter:
    """The error model of one fit.

    Attributes:
        own: each row's own residual, (R,).
        clusters: effects shared within clusters: index of each row's cluster, (R,), the variance of the
            effects, and its degrees of freedom.
        spreads: what subsets and generators do to the rows, where there are enough of them. All noise of a
            subset's trials is part of its effect, and all noise of a generator's trials of its effect.
        components: the variances.
    """

    own: Array
    clusters: tuple[tuple[Array, float, float], ...]
    spreads: tuple[Spread, ...]
    components: Components

    def draws(self, fitted: Array, count: int, rng: np.random.Generator) -> Array:
        """Return bootstrap accuracies, (count, R).

        Each row's own residual changes sign at random (wild bootstrap); cluster effects are drawn from a
        t distribution, as their variance is estimated from few clusters.
        """
        drawn = fitted + self.own * (2.0 * rng.integers(0, 2, (count, len(fitted))) - 1.0)
        for groups, variance, freedom in self.clusters:
            size = np.sqrt(variance * freedom / rng.chisquare(freedom, count))[:, None]
            drawn += size * rng.standard_normal((count, int(groups.max()) + 1))[:, groups]
        for spread in self.spreads:
            size = np.sqrt(spread.freedom / rng.chisquare(spread.freedom, count))[:, None]
            drawn += size * rng.standard_normal((count, spread.effects.shape[1])) @ spread.effects.T
        return np.asarray(drawn)


def scatter(problem: Problem, fit: Fitted) -> Scatter:
    """Split the residuals of a fit into components."""
    table, keep = problem.table, problem.keep
    residual = table.accuracy - fit.values
    leverage, basis = fit.information.leverage, fit.information.basis
    subset, seed = _clusters(table)
    left = residual.copy()
    clusters = []
    found = {"seed": 0.0, "subset": 0.0}
    # Base sets first; seed effects are then estimated from what these leave.
    for name, groups in (("subset", subset), ("seed", seed)):
        if groups is None or not keep.any():
            continue
        numbers = np.unique(groups[keep], return_inverse=True)[1]
        split = _grouped(left[keep], numbers, basis[:, keep])
        between = split.between
        if between == 0.0:
            continue
        found[name] = between
        clusters.append((groups, between, max(split.freedom, _LEAST_CLUSTER_FREEDOM)))
        left[keep] -= (split.means * between / (between + split.within / split.sizes))[numbers]
    own = np.where(keep, left / (1.0 - np.minimum(leverage, _MOST_LEVERAGE)), 0.0)
    noise, freedom = binomial(table), float(keep.sum() - leverage[keep].sum())
    trial = float((left[keep] ** 2).sum()) / max(freedom, 1.0)
    if not np.isnan(noise).any():
        # A nearly saturated fit leaves no residuals; the test set's noise then stands in for them.
        expected = (freedom * trial + _PRIOR_FREEDOM * noise) / (freedom + _PRIOR_FREEDOM)
        lacking = np.maximum(expected - float((own[keep] ** 2).mean()), 0.0)
        own = np.where(keep, np.where(left < 0, -1.0, 1.0) * np.sqrt(own**2 + lacking), 0.0)
    test_set = float(noise.mean())
    components = Components(test_set, found["seed"], found["subset"], trial)
    levels, root = table.levels, np.sqrt(problem.row_weights)
    if levels.over_subsets:
        return Scatter(np.zeros_like(own), (), spreads(levels, basis, root * residual, root), components)
    population = spreads(levels, basis, root * left, root)
    if levels.over_generators:
        own = np.where(levels.generator >= 0, 0.0, own)
    return Scatter(own, tuple(clusters), population, components)
