"""Variance components (test set, training seed, subset) and the bootstrap draws that reproduce them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mousterian.fitting.population import Spread, difference, drawn_sums, indicator, spreads
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
    """Residuals by group: means (G, K), sizes (G,), variances within and between, freedom of the latter."""

    means: Array
    sizes: Array
    within: float
    between: float
    freedom: float


def _grouped(values: Array, groups: Array, basis: Array) -> _Groups:
    """Return the variances of residuals within and between groups (method of moments, not negative).

    Args:
        values: residuals, (R, K); the variances of K independent sets are summed.
        groups: index of each one's group, (R,).
        basis: of the fit's tangent space, (effective_parameters, R): the fit absorbs part of the shared
            effects, so that group means scatter less than these.
    """
    sizes = np.bincount(groups).astype(float)
    members = indicator(groups)
    means = members.T @ values / sizes[:, None]
    count, total = len(sizes), float(len(values))
    shared = basis @ members
    absorbed = float((shared**2 / sizes).sum())
    within_freedom = total - count - (float((basis**2).sum()) - absorbed)
    freedom = count - absorbed
    if count < 2 or within_freedom < 1 or freedom < _LEAST_FREEDOM:
        return _Groups(means, sizes, 0.0, 0.0, 0.0)
    within = float(((values - means[groups]) ** 2).sum()) / within_freedom
    spread = float((sizes[:, None] * means**2).sum()) / freedom
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
        images: what the sampling of test images does to the fitted accuracies of the rows; None where it is
            unknown. The draws hold all of it.
    """

    own: Array
    clusters: tuple[tuple[Array, float, float], ...]
    spreads: tuple[Spread, ...]
    components: Components
    images: Spread | None = None

    def draws(self, problem: Problem, fitted: Array, count: int, rng: np.random.Generator) -> Array:
        """Return bootstrap accuracies of the rows (fitted, (R,)), averaged over the points, (count, U).

        Each row's own residual changes sign at random (wild bootstrap); cluster effects are drawn from a
        t distribution, as their variance is estimated from few clusters.
        """
        averaging = problem.averaging
        signs = drawn_sums(
            averaging.multiply(self.own).tocsr(), count, lambda shape: 2.0 * rng.integers(0, 2, shape) - 1.0
        )
        drawn = averaging @ fitted + signs
        for groups, variance, freedom in self.clusters:
            size = np.sqrt(variance * freedom / rng.chisquare(freedom, count))[:, None]
            drawn += size * drawn_sums(averaging @ indicator(groups), count, rng.standard_normal)
        for spread in self.spreads:
            size = np.sqrt(spread.freedom / rng.chisquare(spread.freedom, count))[:, None]
            pulls = size * drawn_sums(spread.pulls, count, rng.standard_normal)
            drawn += pulls @ (averaging @ spread.tangent.T).T
        return np.asarray(drawn)

    def covariance(self, basis: Array, root: Array) -> Array:
        """Return the covariance of the draws' estimates, (effective_parameters, effective_parameters)."""
        weighted = basis * root
        own = weighted * self.own
        found = own @ own.T
        for groups, variance, _ in self.clusters:
            shared = weighted @ indicator(groups)
            found += variance * shared @ shared.T
        for spread in self.spreads:
            pulls = weighted @ spread.tangent.T @ spread.pulls
            found += pulls @ pulls.T
        return np.asarray(found)


def scatter(problem: Problem, fit: Fitted) -> Scatter:
    """Split the residuals of a fit into components."""
    table, keep, leverage = problem.table, problem.keep, fit.information.leverage
    residual = (table.accuracy - fit.values)[:, None]
    left, clusters = _without_clusters(problem, fit, residual)
    noise, freedom = binomial(table), float(keep.sum() - leverage[keep].sum())
    trial = float((left[keep] ** 2).sum()) / max(freedom, 1.0)
    lacking = np.zeros(len(noise))
    if not np.isnan(noise).any():
        # A nearly saturated fit leaves no residuals; the test set's noise then stands in for them.
        expected = (freedom * trial + _PRIOR_FREEDOM * noise) / (freedom + _PRIOR_FREEDOM)
        own = left[:, 0] / (1.0 - np.minimum(leverage, _MOST_LEVERAGE))
        lacking = np.maximum(expected - float((own[keep] ** 2).mean()), 0.0)
    found = {name: variance for name, (_, variance, _) in clusters.items()}
    test_set = float(noise.mean())
    components = Components(test_set, found.get("seed", 0.0), found.get("subset", 0.0), trial)
    made = _scatter(problem, fit, residual, lacking, components)
    return made if table.sampling is None else _with_images(problem, fit, made, lacking)


def _with_images(problem: Problem, fit: Fitted, made: Scatter, lacking: Array) -> Scatter:
    """Return the scatter with what its draws lack of the variance that the sampling of test images causes.

    What they have of it is the same scatter of what that sampling leaves as residuals.
    """
    sampling, basis = problem.table.sampling, fit.information.basis
    if sampling is None:
        return made
    root = np.sqrt(problem.row_weights)
    noise = sampling.weighted(basis, root)
    if not noise.shape[1]:
        return made
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
    pulls = basis @ noise
    had = _scatter(problem, fit, inverse[:, None] * (noise - basis.T @ pulls), lacking, made.components)
    lacks = difference(pulls @ pulls.T, had.covariance(basis, root))
    lacking_spread, images = (Spread(basis * inverse, each, sampling.freedom) for each in (lacks, pulls))
    return replace(made, spreads=(*made.spreads, lacking_spread), images=images)


def _without_clusters(
    problem: Problem, fit: Fitted, residual: Array
) -> tuple[Array, dict[str, tuple[Array, float, float]]]:
    """Return what the effects of base sets and seeds leave of residuals, (R, K), and these clusters."""
    keep, basis = problem.keep, fit.information.basis
    subset, seed = _clusters(problem.table)
    left = residual.copy()
    clusters = {}
    # Base sets first; seed effects are then estimated from what these leave.
    for name, groups in (("subset", subset), ("seed", seed)):
        if groups is None or not keep.any():
            continue
        numbers = np.unique(groups[keep], return_inverse=True)[1]
        split = _grouped(left[keep], numbers, basis[:, keep])
        between = split.between
        if between == 0.0:
            continue
        clusters[name] = (groups, between, max(split.freedom, _LEAST_CLUSTER_FREEDOM))
        share = between / (between + split.within / split.sizes)
        left[keep] -= (split.means * share[:, None])[numbers]
    return left, clusters


def _scatter(
    problem: Problem, fit: Fitted, residual: Array, lacking: Array, components: Components
) -> Scatter:
    """Return the error model of residuals (R, K), the variances of K independent sets summed.

    Args:
        problem: the problem.
        fit: its fit.
        residual: of each row.
        lacking: variance that each row's own residual lacks, (R,).
        components: the variances.
    """
    levels, root, basis = problem.table.levels, np.sqrt(problem.row_weights), fit.information.basis
    if levels.over_subsets:
        found = spreads(levels, basis, root[:, None] * residual, root)
        return Scatter(np.zeros_like(root), (), found, components)
    left, clusters = _without_clusters(problem, fit, residual)
    scaled = left / (1.0 - np.minimum(fit.information.leverage, _MOST_LEVERAGE))[:, None]
    size = np.sqrt((scaled**2).sum(axis=1) + lacking)
    own = np.where(problem.keep, np.where(left[:, 0] < 0, -size, size), 0.0)
    found = spreads(levels, basis, root[:, None] * left, root)
    if levels.over_generators:
        own = np.where(levels.generator >= 0, 0.0, own)
    return Scatter(own, tuple(clusters.values()), found, components)
