"""Seeds of suggested trials: the present subsets and generators of a fit, or new ones, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mousterian.answers.measured import base_alone, real_added, synthetic_added
from mousterian.fitting.columns import COUNTS
from mousterian.fitting.surface import Array


@dataclass(frozen=True)
class Design:
    """The subsets and generators that each mixture of a grid is run on.

    Attributes:
        subset_seeds: of the grid.
        generator_seeds: of the grid.
        subsets: how many of the former are new; 0 with `generators` 0: trials of the present ones.
        generators: how many of the latter are new.
        done: subsets and generators whose trials the rows hold already, when new ones cross them.
    """

    subset_seeds: list[int]
    generator_seeds: list[int]
    subsets: int = 0
    generators: int = 0
    done: tuple[int, int] = (0, 0)

    @staticmethod
    def of(rows: pd.DataFrame, *, subsets: int = 0, generators: int = 0) -> Design:
        """Return a design of so many new subsets and new generators, or of the present ones."""
        old, served = _seeds(rows["subset_seed"]), _seeds(rows["generator_seed"])
        fresh, others = _further(old, subsets), _further(served, generators)
        if generators:  # new generators serve all subsets, so that the two stay crossed
            done = (len(old), len(served) if subsets else 0)
            known = served if subsets else []
            return Design(old + fresh, known + others, subsets, generators, done)
        return Design(fresh or old, served, subsets)

    def cost(self, cells: Array) -> Array:
        """Return how many trials each mixture takes, one training seed each, (C,); 0 where it needs none."""
        synthetic = cells[:, 2] > 0
        every = len(self.subset_seeds) * np.where(synthetic, len(self.generator_seeds), 1)
        return np.asarray(every - self.done[0] * np.where(synthetic, self.done[1], 1))

    def training_seeds(self, rows: pd.DataFrame, count: int) -> list[int]:
        """Return so many training seeds: on new subsets and generators those of the rows come first."""
        used = _seeds(rows["training_seed"]) if rows["training_seed"].notna().any() else []
        if self.subsets or self.generators:
            return [*used, *_further(used, count)][:count]
        return _further(used, count)

    @property
    def added(self) -> str:
        """What is new: "2 more subset seeds"."""
        parts = [(self.subsets, "subset seed"), (self.generators, "generator seed")]
        return " and ".join(
            f"{count} more {word}{'s' if count > 1 else ''}" for count, word in parts if count
        )


def _seeds(column: pd.Series) -> list[int]:
    return sorted(map(int, column.dropna().unique())) or [0]


def _further(used: list[int], count: int) -> list[int]:
    first = max(used, default=-1) + 1
    return list(range(first, first + count))


def measured(rows: pd.DataFrame, bases: Array) -> Array:
    """Return the mixtures that were measured at these bases, (C, 3), in order."""
    return np.unique(rows.loc[rows["n_base"].isin(bases), list(COUNTS)].to_numpy(dtype=float), axis=0)


def core(rows: pd.DataFrame, bases: Array, equivalents: Array) -> Array:
    """Return the fewest mixtures that make a level of a subset, (C, 3).

    At each base that is the base alone, the real addition nearest to it in size, and the measured number of
    synthetic images nearest to the equivalent of that.

    Args:
        rows: of the fit.
        bases: with synthetic images, (B,).
        equivalents: n_syn_plus equivalent to doubling each base, (B,); inf where unreachable.
    """
    found = []
    for base, equivalent in zip(bases, equivalents, strict=True):
        wanted = ((real_added(rows, base), base), (synthetic_added(rows, base), equivalent))
        sizes = [_nearest(each["added"].to_numpy(dtype=float), size) for each, size in wanted]
        if len(base_alone(rows, base)):
            found.append((base, 0.0, 0.0))
        found += [(base, size, 0.0) for size in sizes[0]] + [(base, 0.0, size) for size in sizes[1]]
    return np.unique(np.array(found), axis=0)


def _nearest(sizes: Array, wanted: float) -> list[float]:
    if not len(sizes):
        return []
    return [float(sizes[np.argmin(np.abs(np.log(sizes / wanted)))] if np.isfinite(wanted) else sizes.max())]
