"""A table of trials, checked, as surfaces are fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from mousterian.errors import InputError, first_of
from mousterian.fitting.columns import COUNTS, NUMBERS, SEEDS
from mousterian.fitting.image_sampling import ImageSampling
from mousterian.fitting.population import Levels
from mousterian.fitting.readings import readings
from mousterian.fitting.surface import Array, Points, Sparse
from mousterian.fitting.understanding import Understood, read, understood
from mousterian.fitting.values import listed

# Generators of these are trained on images of the row's own subset; others are the same for all subsets.
TRAINED_ON_SUBSET = ("base", "upstream")
_FEWEST_ROWS = 4


@dataclass(frozen=True)
class Table:
    """Checked rows in canonical order, and the K readings (`readings.py`) that surfaces are fitted to.

    Attributes:
        rows: columns `columns.NUMBERS`; accuracy is a fraction; seeds and totals are NaN where not given.
        points: the U distinct points that rows are read at.
        row: index of each reading's row, (K,), ascending.
        at: index of its point, (K,).
        share: of its row's weight, (K,).
        nested: whether each subset has generators of its own.
        warnings: irregularities of the table, as sentences.
        sampling: of the test images; None where no predictions are known.
    """

    rows: pd.DataFrame
    points: Points
    row: Array
    at: Array
    share: Array
    nested: bool
    warnings: tuple[str, ...]
    sampling: ImageSampling | None = None

    @property
    def accuracy(self) -> Array:
        """Accuracy of each row, a fraction."""
        return self.rows["accuracy"].to_numpy(dtype=float)

    @cached_property
    def cell(self) -> Array:
        """Number of each row's cell, by its counts."""
        return np.asarray(self.rows.groupby(list(COUNTS), sort=True).ngroup(), dtype=int)

    @cached_property
    def levels(self) -> Levels:
        """The levels of subsets and generators."""
        return Levels.of(self.rows, nested=self.nested)

    @cached_property
    def readings(self) -> Sparse:
        """Share of each point in each row, (R, U)."""
        return csr_array((self.share, (self.row, self.at)), shape=(len(self.rows), self.points.n_base.size))

    def of_rows(self, at_points: Array) -> Array:
        """Return the mean over each row's readings, (..., R), of values at the points, (..., U)."""
        return (self.readings @ at_points.T).T

    def of_cells(self, at_points: Array) -> Array:
        """Return likewise the mean over the readings of each cell, (..., C)."""
        return (self.readings[np.unique(self.cell, return_index=True)[1]] @ at_points.T).T


def check(table: pd.DataFrame | Understood, sampling: ImageSampling | None = None) -> Table:
    """Return the checked table.

    Args:
        table: rows, understood or to be understood.
        sampling: of the test images that the rows given share, in their order.

    Raises:
        InputError: columns are missing, or values cannot be used; the message names the rows.
    """
    if isinstance(table, pd.DataFrame):
        table = understood(read(table))
    frame = table.rows
    numbers = pd.DataFrame({"row": frame.index.to_numpy(), "given": table.kept})
    for name in NUMBERS:
        default = 1.0 if name == "weight" else np.nan
        numbers[name] = frame[name].to_numpy(dtype=float) if name in frame else default
    # Without synthetic images there is no generator, whatever its column holds.
    numbers.loc[numbers["n_syn_plus"] == 0, "generator_seed"] = np.nan
    warnings = list(table.warnings)
    numbers = _distinct(numbers, warnings)
    _refuse_uninformative(numbers, warnings)
    rows = numbers.drop(columns="row").reset_index(drop=True)[list(NUMBERS)]
    ordered = sampling.at(numbers["given"].to_numpy()) if sampling else None
    return Table(rows, *readings(rows), _nested(frame), tuple(warnings), ordered)


def _nested(frame: pd.DataFrame) -> bool:
    """Return whether each subset has generators of its own, by the column `trained_on` of synthetic rows."""
    if "trained_on" not in frame:
        return False
    return bool(frame.loc[frame["n_syn_plus"] > 0, "trained_on"].isin(TRAINED_ON_SUBSET).all())


def _distinct(numbers: pd.DataFrame, warnings: list[str]) -> pd.DataFrame:
    """Sort rows, drop repeated trials, and warn of contradictory ones."""
    numbers = numbers.sort_values([*COUNTS, *SEEDS, "accuracy", "total", "weight"], kind="stable")
    trial = [*COUNTS, *SEEDS]
    # A generator's seed alone does not say which of its trials a row is.
    seeded = numbers[["subset_seed", "training_seed"]].notna().any(axis=1)
    same = seeded & numbers.duplicated([*trial, "accuracy"])
    if same.any():
        where = listed(sorted(numbers.loc[same, "row"].tolist()))
        warnings.append(
            f"{where} repeat a trial (same counts, seeds and accuracy) and count once.".capitalize()
        )
        numbers = numbers[~same]
    _name_equal_rows(numbers[~seeded.loc[numbers.index]], warnings)
    _name_one_mixture(numbers, warnings)
    unlike = seeded.loc[numbers.index] & numbers.duplicated(trial, keep=False)
    if unlike.any():
        where = listed(sorted(numbers.loc[unlike, "row"].tolist()))
        warnings.append(
            f"{where} contradict each other: same counts and seeds, other accuracies.".capitalize()
        )
    return numbers


def _name_equal_rows(numbers: pd.DataFrame, warnings: list[str]) -> None:
    """Warn of equal rows without seeds: two trials that happen to agree, or one that was entered twice."""
    equal = numbers.duplicated([*COUNTS, "accuracy", "total"], keep=False)
    if equal.any():
        where = listed(sorted(numbers.loc[equal, "row"].tolist()))
        warnings.append(
            f"{where[0].upper()}{where[1:]} equal one another and have no seeds: each counts as a trial. If"
            " one was entered twice, delete it; if they are repeats, give their seeds."
        )


def _name_one_mixture(numbers: pd.DataFrame, warnings: list[str]) -> None:
    """Warn of mixtures under two names: base and real additions are nested, so only their sum matters."""
    real = numbers["n_base"] + numbers["n_real_plus"]
    trial = numbers[["n_syn_plus", *SEEDS]].assign(real=real)
    alike = (numbers["n_syn_plus"] == 0) & trial.duplicated(keep=False)
    names = numbers[alike].groupby(real[alike], sort=True)["n_base"].unique()
    several = names[names.map(len) > 1]
    if several.empty:
        return
    said = first_of(
        [
            " = ".join(f"{base:,.0f} + {total - base:,.0f}" for base in sorted(bases, reverse=True))
            for total, bases in several.items()
        ],
        most=3,
    )
    warnings.append(
        f"Mixtures under several names (n_base + n_real_plus: {said}): subsets are nested, so with the same"
        " seeds these are the same images, and share much of their noise."
    )


def _refuse_uninformative(numbers: pd.DataFrame, warnings: list[str]) -> None:
    if len(numbers) < _FEWEST_ROWS:
        raise InputError(
            f"too few rows: {len(numbers)}, and no surface can be fitted to fewer than {_FEWEST_ROWS}"
        )
    if numbers["accuracy"].max() - numbers["accuracy"].min() < 1e-9:
        warnings.append("Accuracy is the same in every row: what images are worth cannot be estimated.")
    if (numbers["n_syn_plus"] == 0).all():
        warnings.append("No row has synthetic images: accuracy can be predicted, an equivalence cannot.")
    if numbers["n_base"].nunique() == 1:
        warnings.append("Only one base size: how the equivalence depends on n_base cannot be estimated.")
