"""The population of subsets and generators: the levels a table holds of each, and how answers vary over them.

Trials that share a subset seed, or a generator, share its luck, and the luck acts on gains from real and from
synthetic images as much as on accuracy itself. No form is assumed for that: all residuals of a level count
together, as one observation of what a level does to the fit (cluster-robust variance).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mousterian.fitting.surface import Array

# Fewest levels of a factor that say how answers vary over it.
FEWEST_LEVELS = 3
# Cap on a level's leverage: beyond it, its own residuals say little about its effect.
_MOST_LEVERAGE = 0.8
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
    """Effects of one factor: the change of each row's accuracy by each independent effect, (R, L).

    `freedom` are the degrees of freedom of their variance.
    """

    effects: Array
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
            scores = difference(scores, _interaction(part, residual, levels.subset[synthetic], generator))
        found.append((scores, levels.generators - 1.0))
    inverse = np.divide(1.0, root_weights, out=np.zeros_like(root_weights), where=root_weights > 0)
    return tuple(Spread((basis.T @ scores) * inverse[:, None], freedom) for scores, freedom in found)


def _scores(basis: Array, weighted: Array, groups: Array) -> Array:
    """Return all levels' pulls on the fit, (effective_parameters, ·), such that S Sᵀ estimates its variance.

    The fit follows each level in part, so that residuals are smaller than effects: each level's pull is
    corrected by its leverage (Bell and McCaffrey's CR2, exact where all levels have the same cells).
    """
    found = []
    for level in np.unique(groups):
        mine = groups == level
        part = basis[:, mine]
        values, vectors = np.linalg.eigh(part @ part.T)
        shrunk = 1.0 / np.sqrt(1.0 - np.minimum(values, _MOST_LEVERAGE))
        found.append(vectors @ (shrunk[:, None] * (vectors.T @ (part @ weighted[mine]))))
    return np.concatenate(found, axis=1)


def _interaction(basis: Array, weighted: Array, subset: Array, generator: Array) -> Array:
    """Return what pairs of subset and generator add to the sum of either, (effective_parameters, ·).

    Args:
        basis: of the tangent space, (effective_parameters, R).
        weighted: residuals of each row, (R, K).
        subset: index of each row's subset, (R,).
        generator: index of each row's generator, (R,).
    """
    at = [np.unique(index, return_inverse=True)[1] for index in (subset, generator)]
    counts = [int(index.max()) + 1 for index in at]
    pulls = basis.T[:, :, None] * weighted[:, None, :]
    pairs = np.zeros((*counts, *pulls.shape[1:]))
    np.add.at(pairs, tuple(at), pulls)
    rest = pairs - pairs.mean(axis=0) - pairs.mean(axis=1, keepdims=True) + pairs.mean(axis=(0, 1))
    freedom = np.prod([count - 1 for count in counts]) / np.prod(counts)
    return np.asarray(np.moveaxis(rest, 2, 0).reshape(len(basis), -1) / np.sqrt(freedom))


def difference(more: Array, less: Array) -> Array:
    """Return a root of S Sᵀ − T Tᵀ without its negative part, (effective_parameters, ·)."""
    values, vectors = np.linalg.eigh(more @ more.T - less @ less.T)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
