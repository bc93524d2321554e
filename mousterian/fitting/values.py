"""The values of a table's columns: numbers, whole counts and fractions; refusals show the cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mousterian.errors import InputError
from mousterian.fitting import cells
from mousterian.fitting.columns import COUNTS, NUMBERS, RATIOS, REAL, SEEDS, Named, is_percent
from mousterian.fitting.surface import Array

# Share of n_base below which numbers of added images look like ratios, and the largest such number.
_LIKE_RATIOS, _LARGEST_RATIO = 0.05, 20
_MOST_CELLS = 3


def listed(rows: Sequence[int] | pd.Index) -> str:
    """Return row numbers as text, the first eight of many."""
    shown = ", ".join(str(row) for row in rows[:8])
    return f"row{'s' if len(rows) > 1 else ''} {shown}" + (
        f" and {len(rows) - 8} more" if len(rows) > 8 else ""
    )


def refuse(wrong: Array, given: pd.Series[Any], what: str, hint: str = "") -> None:
    """Raise InputError where cells are wrong, with their rows and what stands there.

    Args:
        wrong: which of N cells are, (N,) bool.
        given: the cells as they are in the table, N.
        what: what is wrong with the column.
        hint: what to do.
    """
    if not wrong.any():
        return
    shown = list(dict.fromkeys(_shown(cell) for cell in given[wrong]))
    more = ", ..." if len(shown) > _MOST_CELLS else ""
    raise InputError(
        f"{what} in {listed(given.index[wrong])}: {', '.join(shown[:_MOST_CELLS])}{more}", hint=hint
    )


def _shown(cell: Any) -> str:
    return repr(cell) if isinstance(cell, str) else str(cell)


def numbers(table: Named, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with their numbers as floats, NaN where blank; labels that floats would merge are numbered.

    Raises:
        InputError: a cell is no number.
    """
    found: dict[str, Array] = {}
    for name in (*NUMBERS, *RATIOS, REAL):
        if name not in rows:
            continue
        values, bad, percent = cells.read(rows[name], table.mark.decimal)
        own = table.name(name)
        hint = f"number the runs, or leave the column out: --column unused={own}" if name in SEEDS else ""
        refuse(bad, rows[name], f"{own} is not a number", hint)
        if name in SEEDS:
            values, merged = cells.labels(rows[name], values)
            refuse(
                merged,
                rows[name],
                f"{own} is a float beyond 2**53, where different seeds are equal",
                "read the column as text",
            )
        elif percent.any() and not percent.all():
            bare = ~percent & ~np.isnan(values)
            refuse(bare, rows[name], f"{own} has no percent sign, where other rows have one,")
        elif name in RATIOS and is_percent(own) and not percent.any():
            values = values / 100
        found[name] = values
    return rows.assign(**found)


def counts(table: Named, rows: pd.DataFrame, warnings: list[str]) -> pd.DataFrame:
    """Return rows with whole counts of images; ratios are multiplied by n_base.

    Raises:
        InputError: a count is negative or not whole, or a row has no training images.
    """
    given, added = table.frame.loc[rows.index], {}
    for ratio, name in RATIOS.items():
        if name not in rows and ratio in rows:
            refuse((rows[ratio] < 0).to_numpy(), given[ratio], f"{table.name(ratio)} is negative")
            added[name] = (rows[ratio] * rows["n_base"]).round()
    if "n_real_plus" not in {*rows, *added}:
        added["n_real_plus"] = _real_added(table, rows, warnings)
    for name in COUNTS:
        if name in added:
            continue
        own, values = table.name(name), rows[name].to_numpy()
        refuse(values < 0, given[name], f"{own} is negative")
        ratio = next((each for each, plus in RATIOS.items() if plus == name), "")
        like = ratio and values.max(initial=0) <= _LARGEST_RATIO
        hint = (
            f"if these are ratios to n_base, call the column {ratio}"
            if like
            else "numbers of images are whole"
        )
        fractional = np.abs(values - np.round(values)) > 1e-6 * np.maximum(values, 1)
        refuse(fractional, given[name], f"{own} is no whole number of images", hint)
        share = values / np.maximum(rows["n_base"].to_numpy(), 1)
        if like and not table.ours and 0 < share.max(initial=0) < _LIKE_RATIOS:
            least = rows["n_base"].min()
            warnings.append(f"{own} is at most {values.max():g}, and n_base at least {least:g}: {hint}.")
    rows = rows.assign(**added)
    none = (rows[list(COUNTS)].sum(axis=1) == 0).to_numpy()
    refuse(none, given["n_base"], "no training images at all")
    return rows


def _real_added(table: Named, rows: pd.DataFrame, warnings: list[str]) -> pd.Series[Any]:
    """Return the real images added to the base, from all real images or as none."""
    if REAL not in rows:
        if not table.ours:
            warnings.append(
                "No column says how many real images were added to a base: n_base is all real images, and"
                " questions take their number as --n-base."
            )
        return pd.Series(0.0, index=rows.index)
    own = table.name(REAL)
    in_all = bool((rows[REAL] >= rows["n_base"]).all())
    kind = "all real images, those of n_base among them" if in_all else "real images added to n_base"
    warnings.append(f"{own} was understood as {kind}.")
    return rows[REAL] - rows["n_base"] if in_all else rows[REAL]


def fractions(table: Named, rows: pd.DataFrame, warnings: list[str]) -> pd.Series[Any]:
    """Return accuracies as fractions.

    Raises:
        InputError: they are in no range of fractions or of percent.
    """
    accuracy, given, own = rows["accuracy"], table.frame["accuracy"].loc[rows.index], table.name("accuracy")
    values = accuracy.to_numpy()
    refuse(values < 0, given, f"{own} is negative")
    if cells.read(given, table.mark.decimal).percent.any():
        refuse(values > 1, given, f"{own} is above 100 %")
        return accuracy
    said = is_percent(own)
    if not (values > (1.0 if said else 1.5)).any():
        refuse(values > 1, given, f"{own} is above 1")
        if said:
            warnings.append(
                f"{own} is at most {values.max(initial=0):g}: read as fractions, whatever its name says."
            )
        return accuracy
    refuse(values > 100, given, f"{own} is above 100 %")
    if not said:
        warnings.append("Accuracies were read as percent.")
        small = values <= 1
        refuse(~small & (small.mean() > 0.5), given, f"{own} is above 1, where most rows are fractions,")
        if small.any():
            where = listed(rows.index[small])
            warnings.append(
                f"Accuracy is at most 1 % in {where}; if these are fractions, give all rows as fractions."
            )
    return accuracy / 100


def limits(table: Named, rows: pd.DataFrame) -> None:
    """Refuse weights and numbers of test images that cannot be.

    Raises:
        InputError: a weight is negative or missing, or no images were tested.
    """
    given = table.frame.loc[rows.index]
    if "weight" in rows:
        wrong = ~(rows["weight"] >= 0).to_numpy()
        refuse(wrong, given["weight"], f"{table.name('weight')} is negative or missing")
    if "total" in rows:
        wrong = (rows["total"] < 1).to_numpy()
        refuse(wrong, given["total"], f"{table.name('total')} (test images) is below 1")
