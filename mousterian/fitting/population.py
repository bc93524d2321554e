"""The population of subsets and generators: the levels a table holds of each, and how answers vary over them.

Trials that share a subset seed, or a generator, share its luck, and the luck acts on gains from real and from
synthetic images as much as on accuracy itself. No form is assumed for that: all residuals of a level count
together, as one observation of what a level does to the fit (cluster-robust variance).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from mousterian.fitting.surface import Array, Sparse

# Fewest levels of a factor that say how answers vary over it.
FEWEST_LEVELS = 3
# Cap on a level's leverage: beyond it, its own residuals say little about its effect.
_MOST_LEVERAGE = 0.8
# Variates drawn at a time.
_BLOCK = 1 << 19
_WORDS = ("no", "one", "two")


@dataclass(frozen=True)
class Levels:
    """The levels of a table's two factors.

    Attributes:
        subset: index of each row's subset seed, (R,).
        generator: index of each row's generator, (R,); -1 where the row has no synthetic images.
        subsets: number of subset seeds of the rows with synthetic images, at the base size that has fewest,
            or of the rows without, if fewer.
        generators: number of generators at the base size that has fewest; 0 without synthetic images.
        nested: whether each subset has generators of its own, so that its level includes theirs.
    """

    subset: Array
    generator: Array
    subsets: int
    generators: int
    nested: bool

    @staticmethod
    def of(rows: pd.DataFrame, *, nested: bool) -> Levels:
        """Return the levels of rows with n_base, n_syn_plus, subset_seed and, maybe, generator_seed.

        Args:
            rows: a table's or a saved fit's rows.
            nested: whether generators are trained on images of the subset.
        """
        seeds = pd.DataFrame({"subset": rows["subset_seed"].fillna(-1), "n_base": rows["n_base"]})
        named = rows["generator_seed"] if "generator_seed" in rows else pd.Series(np.nan, rows.index)
        seeds["generator"] = named.fillna(-1)
        synthetic = (rows["n_syn_plus"] > 0).to_numpy()
        added = synthetic & (rows["n_base"] > 0).to_numpy()
        own = ["subset", "generator"] if nested else ["generator"]
        seeds["generator"] = seeds.groupby(own, sort=True).ngroup()
        fewest = seeds[added].groupby("n_base")[["subset", "generator"]].nunique().min()
        alone = seeds.loc[~synthetic, "subset"].nunique()
        return Levels(
            np.asarray(seeds.groupby("subset", sort=True).ngroup(), dtype=int),
            np.where(synthetic, seeds["generator"], -1),
            int(min(count for count in (alone, fewest["subset"]) if count > 0)),
            int(fewest["generator"]) if added.any() else 0,
            nested,
        )

    @property
    def over_subsets(self) -> bool:
        """Whether answers are about the population of subsets."""
        return self.subsets >= FEWEST_LEVELS

    @property
    def over_generators(self) -> bool:
        """Whether generators are a factor of their own: neither part of the subsets nor too few."""
        return self.generators >= FEWEST_LEVELS and not (self.nested and self.over_subsets)

    @property
    def conditional(self) -> str:
        """What answers are conditional on: "conditional on one subset and one generator"; "" if nothing."""
        found = [
            f"{_WORDS[count]} {word}{'s' if count > 1 else ''}"
            for count, word in ((self.subsets, "subset"), (self.generators, "generator"))
            if 0 < count < FEWEST_LEVELS
        ]
        return f"conditional on {' and '.join(found)}" if found else ""


@dataclass(frozen=True)
class Spread:
    """Effects of one factor, by way of the fit.

    Attributes:
        tangent: change of each row's accuracy as the fit is pulled, (effective_parameters, R).
        pulls: of L independent effects on the fit, (effective_parameters, L).
        freedom: degrees of freedom of their variance.
    """

    tangent: Array
    pulls: Array
    freedom: float


def spreads(levels: Levels, basis: Array, weighted: Array, root_weights: Array) -> tuple[Spread, ...]:
    """Return how the estimate varies over subsets, and over generators where they are crossed with these.

    Args:
        levels: of the rows.
        basis: orthonormal basis of the fit's tangent space in the weighted rows, (effective_parameters, R).
        weighted: residuals of each row times the root of its weight, (R, K); the variances of K independent
            sets of residuals are summed.
        root_weights: root of each row's weight, (R,); 0 for those set aside.
    """
    synthetic = levels.generator >= 0
    found = []
    if levels.over_subsets:
        scores = _scores(basis, weighted, levels.subset)
        found.append((scores, levels.subsets - 1.0))
    if levels.over_generators:
        part, residual, generator = basis[:, synthetic], weighted[synthetic], levels.generator[synthetic]
        scores = _scores(part, residual, generator)
        if levels.over_subsets:
            # What a subset and a generator do together, and the trials' noise, are in the subsets' already.
            both = _interaction(part, residual, levels.subset[synthetic], generator)
            scores = difference(scores @ scores.T, both)
        found.append((scores, levels.generators - 1.0))
    inverse = np.divide(1.0, root_weights, out=np.zeros_like(root_weights), where=root_weights > 0)
    return tuple(Spread(basis * inverse, scores, freedom) for scores, freedom in found)


def _scores(basis: Array, weighted: Array, groups: Array) -> Array:
    """Return all levels' pulls on the fit, (effective_parameters, ·), such that S Sᵀ estimates its variance.

    The fit follows each level in part, so that residuals are smaller than effects: each level's pull is
    corrected by its leverage (Bell and McCaffrey's CR2, exact where all levels have the same cells).
    """
    values, vectors = np.linalg.eigh(_sums(basis, basis.T, groups))
    shrunk = 1.0 / np.sqrt(1.0 - np.minimum(values, _MOST_LEVERAGE))
    pulls = vectors @ (shrunk[:, :, None] * (vectors.transpose(0, 2, 1) @ _sums(basis, weighted, groups)))
    return np.asarray(pulls.transpose(1, 0, 2).reshape(len(basis), -1))


def indicator(groups: Array) -> Sparse:
    """Return which group each row is of, (R, G), ones and zeros, from its number (R,)."""
    return csr_array((np.ones(len(groups)), (np.arange(len(groups)), groups)))


def _sums(basis: Array, weighted: Array, groups: Array) -> Array:
    """Return each group's sum of products, (G, effective_parameters, K), of basis and weighted (R, K)."""
    members = indicator(np.unique(groups, return_inverse=True)[1]).T
    found = [members @ (row[:, None] * weighted) for row in basis]
    return np.reshape(found, (len(basis), members.shape[0], weighted.shape[1])).swapaxes(0, 1)


def _interaction(basis: Array, weighted: Array, subset: Array, generator: Array) -> Array:
    """Return the covariance of what pairs of subset and generator add to the sum of either.

    Args:
        basis: of the tangent space, (effective_parameters, R).
        weighted: residuals of each row, (R, K).
        subset: index of each row's subset, (R,).
        generator: index of each row's generator, (R,).
    """
    counts = [len(np.unique(index)) for index in (subset, generator)]
    pair = subset * (generator.max() + 1) + generator
    sums = (_sums(basis, weighted, groups) for groups in (pair, subset, generator, 0 * subset))
    pairs, of_subsets, of_generators, of_all = (np.tensordot(s, s, axes=([0, 2], [0, 2])) for s in sums)
    # Of pairs less the means of their rows and columns in the table of subsets × generators.
    rest = pairs - of_subsets / counts[1] - of_generators / counts[0] + of_all / np.prod(counts)
    return np.asarray(rest * np.prod(counts) / np.prod([count - 1 for count in counts]))


def difference(more: Array, less: Array) -> Array:
    """Return a root of the difference of two covariances, without its negative part, (..., ·)."""
    values, vectors = np.linalg.eigh(more - less)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def drawn_sums(effects: Array | Sparse, count: int, variates: Callable[[tuple[int, int]], Array]) -> Array:
    """Return sums of effects (M, L) times independent variates, (count, M), a few draws at a time."""
    number = effects.shape[1]
    parts = np.array_split(np.arange(count), max(math.ceil(count * number / _BLOCK), 1))
    return np.concatenate([(effects @ variates((len(part), number)).T).T for part in parts])
