"""Read and check a table of accuracies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from mousterian.errors import InputError, first_of, nearest
from mousterian.fitting.image_sampling import ImageSampling
from mousterian.fitting.population import Levels
from mousterian.fitting.readings import readings
from mousterian.fitting.surface import Array, Points, Sparse

COUNTS = ("n_base", "n_real_plus", "n_syn_plus")
# Other names under which tables hold a column.
_ALIASES = {"accuracy": ("top1",), "training_seed": ("seed",)}
_SEEDS = ("subset_seed", "generator_seed", "training_seed")
# Generators of these are trained on images of the row's own subset; others are the same for all subsets.
TRAINED_ON_SUBSET = ("base", "upstream")
# Name of a file's index: row numbers from 1, so that errors name a row after sorting, too.
_ROW = "row"
_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars"}
COLUMNS = (*COUNTS, "accuracy", *_SEEDS, "total", "weight")
_FEWEST_ROWS = 4


@dataclass(frozen=True)
class Table:
    """Checked rows in canonical order, and the K readings (`readings.py`) that surfaces are fitted to.

    Attributes:
        rows: columns `COLUMNS`; accuracy is a fraction; seeds and totals are NaN where not given.
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


def load(source: pd.DataFrame | Path | str) -> pd.DataFrame:
    """Return a table from a data frame or a CSV, TSV, parquet or JSON file, its rows numbered from 1.

    Raises:
        InputError: there is no such file, or it is not a table.
    """
    if isinstance(source, pd.DataFrame):
        return source
    path = Path(source)
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": pd.read_csv,
        ".tsv": lambda file: pd.read_csv(file, sep="\t"),
        ".parquet": pd.read_parquet,
        ".json": pd.read_json,
    }
    kind = path.suffix.lower()
    if kind not in readers:
        raise InputError(f"cannot read a table from {path.suffix or 'this'}", where=str(path),
                         hint=f"give one of {', '.join(readers)}")  # fmt: skip
    try:
        frame = readers[kind](path)
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"not a readable table ({error})", where=str(path)) from error
    frame = frame.rename(columns=lambda name: str(name).strip())
    if len(frame.columns) == 1 and (other := next((s for s in _SEPARATORS if s in frame.columns[0]), "")):
        expected = "tabs" if kind == ".tsv" else "commas"
        raise InputError(
            f"its columns are separated by {_SEPARATORS[other]}, not {expected}",
            where=str(path),
            hint="save it as .csv with commas (and decimal points) or as .tsv with tabs",
        )
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name=_ROW))


def check(frame: pd.DataFrame, sampling: ImageSampling | None = None) -> Table:
    """Return the checked table.

    Args:
        frame: the table.
        sampling: of the test images that its rows share, in the order of its rows.

    Raises:
        InputError: columns are missing, or values cannot be used; the message names the rows.
    """
    frame = renamed(frame)
    in_file = frame.index.name == _ROW
    numbers = pd.DataFrame({"row": np.asarray(frame.index) if in_file else np.arange(1, len(frame) + 1)})
    numbers["given"] = np.arange(len(frame))
    for name in COLUMNS:
        if name in frame:
            given = frame[name].reset_index(drop=True)
            numbers[name] = (
                pd.to_numeric(given, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan)
            )
            # Seeds and the like may be missing; what is there must be a number all the same.
            needed = name in (*COUNTS, "accuracy")
            _refuse(numbers, numbers[name].isna() & (needed | given.notna()), f"{name} is not a number")
        else:
            numbers[name] = 1.0 if name == "weight" else np.nan
    for name in COUNTS:
        _refuse(numbers, numbers[name] < 0, f"{name} is negative")
    _refuse(numbers, ~(numbers["weight"] >= 0), "weight is negative or missing")
    _refuse(numbers, numbers["total"] < 1, "total (test images) is below 1")
    _refuse(numbers, numbers[list(COUNTS)].sum(axis=1) == 0, "no training images at all")
    # Without synthetic images there is no generator, whatever its column holds.
    numbers.loc[numbers["n_syn_plus"] == 0, "generator_seed"] = np.nan
    warnings: list[str] = []
    numbers["accuracy"] = _fractions(numbers, warnings)
    numbers = _distinct(numbers, warnings)
    _refuse_uninformative(numbers, warnings)
    rows = numbers.drop(columns="row").reset_index(drop=True)[list(COLUMNS)]
    ordered = sampling.at(numbers["given"].to_numpy()) if sampling else None
    return Table(rows, *readings(rows), _nested(frame), tuple(warnings), ordered)


def _nested(frame: pd.DataFrame) -> bool:
    """Return whether each subset has generators of its own, by the column `trained_on` of synthetic rows."""
    if "trained_on" not in frame:
        return False
    synthetic = pd.to_numeric(frame["n_syn_plus"], errors="coerce") > 0
    return bool(frame.loc[synthetic, "trained_on"].isin(TRAINED_ON_SUBSET).all())


def renamed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with each column under its own name.

    Raises:
        InputError: a column is missing.
    """
    for name, others in _ALIASES.items():
        if name not in frame:
            other = next((other for other in others if other in frame), None)
            if other is not None:
                frame = frame.rename(columns={other: name})
    missing = [name for name in (*COUNTS, "accuracy") if name not in frame]
    if missing:
        looks = [
            f"{match!r} looks like {name!r}" for name in missing if (match := nearest(name, map(str, frame)))
        ]
        hint = "; ".join(looks) or f"it has: {', '.join(map(str, frame)) or 'none'}"
        raise InputError(f"the table has no column {', '.join(missing)}", hint=hint)
    return frame


def listed(rows: Sequence[int]) -> str:
    """Return row numbers as text, the first eight of many."""
    shown = ", ".join(str(row) for row in rows[:8])
    return f"row{'s' if len(rows) > 1 else ''} {shown}" + (
        f" and {len(rows) - 8} more" if len(rows) > 8 else ""
    )


def _refuse(numbers: pd.DataFrame, wrong: pd.Series[bool], what: str) -> None:
    if wrong.any():
        raise InputError(f"{what} in {listed(numbers.loc[wrong, 'row'].tolist())}")


def _fractions(numbers: pd.DataFrame, warnings: list[str]) -> pd.Series[Any]:
    accuracy = numbers["accuracy"]
    _refuse(numbers, accuracy < 0, "accuracy is negative")
    if not (accuracy > 1.5).any():
        _refuse(numbers, accuracy > 1, "accuracy is above 1")
        return accuracy
    _refuse(numbers, accuracy > 100, "accuracy is above 100 %")
    warnings.append("Accuracies were read as percent.")
    small = accuracy <= 1
    _refuse(numbers, ~small & (small.mean() > 0.5), "accuracy is above 1, where most rows are fractions,")
    if small.any():
        where = listed(numbers.loc[small, "row"].tolist())
        warnings.append(
            f"Accuracy is at most 1 % in {where}; if these are fractions, give all rows as fractions."
        )
    return accuracy / 100


def _distinct(numbers: pd.DataFrame, warnings: list[str]) -> pd.DataFrame:
    """Sort rows, drop repeated trials, and warn of contradictory ones."""
    numbers = numbers.sort_values([*COUNTS, *_SEEDS, "accuracy", "total", "weight"], kind="stable")
    trial = [*COUNTS, *_SEEDS]
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
    trial = numbers[["n_syn_plus", *_SEEDS]].assign(real=real)
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
