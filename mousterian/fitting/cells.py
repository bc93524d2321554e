"""Numbers as tables write them: decimal commas, thousands separators, percent signs, blanks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mousterian.errors import InputError
from mousterian.fitting.surface import Array

# Whole numbers from here on are not all floats.
_EXACT = 2**53
_BLANKS = ("", "na", "n/a", "nan", "#n/a", "null")
_NO_NUMBERS = ("none", "-", "–", "—")
_GROUPED = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f'’](?=\d{3}(?!\d))")
_NUMERIC = re.compile(r"[+-]?[\d.,]*\d[\d.,]*(e[+-]?\d+)?", re.IGNORECASE)
_AMBIGUOUS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([.,])\d{3}(\1\d{3})+")
_OF_MARK = {
    mark: re.compile(
        rf"[+-]?(?:(?:\d+|\d{{1,3}}(?:{re.escape(other)}\d{{3}})+)(?:{re.escape(mark)}\d*)?"
        rf"|{re.escape(mark)}\d+)(?:e[+-]?\d+)?",
        re.IGNORECASE,
    )
    for mark, other in ((".", ","), (",", "."))
}


class Mark(NamedTuple):
    """What separates decimals, "." or ","; and a value that could be read with the other, "" if none."""

    decimal: str
    ambiguous: str = ""


class Numbers(NamedTuple):
    """Cells of a column as numbers: NaN where blank or bad; bad are those that are no number, (N,) each."""

    values: Array
    bad: Array
    percent: Array


def is_blank(cells: pd.Series[Any]) -> pd.Series[bool]:
    """Return which cells are missing, or hold what programs write where nothing is."""
    if pd.api.types.is_numeric_dtype(cells):
        return cells.isna()
    text = cells.astype(object).map(lambda cell: isinstance(cell, str) and cell.strip().casefold() in _BLANKS)
    return cells.isna() | text.astype(bool)


def decimal_mark(counts: Mapping[str, pd.Series[Any]], others: Mapping[str, pd.Series[Any]]) -> Mark:
    """Return the decimal mark of a table's numbers.

    "1.600" alone may be either number: whole where it counts images, 1.6 elsewhere, unless other cells tell.

    Args:
        counts: columns of whole numbers by the user's names.
        others: columns of numbers.

    Raises:
        InputError: some cells have decimal points, others decimal commas.
    """
    told: dict[str, str] = {}
    ambiguous: dict[str, str] = {}
    for whole, columns in ((False, others), (True, counts)):
        for name, cells in columns.items():
            for row, cell in _texts(cells):
                mark = _evidence(cell)
                place = f"{cell!r} in row {row} of {name}"
                if mark.startswith("?") and whole:
                    ambiguous.setdefault(mark[1], cell)
                elif mark.startswith("?"):
                    told.setdefault(f"?{mark[1]}", place)
                elif mark:
                    told.setdefault(mark, place)
    if {".", ","} <= set(told):
        raise InputError(
            f"some numbers have decimal points and others decimal commas: {told['.']}, {told[',']}",
            hint="write all of them the same way",
        )
    decimal = next((mark[-1] for mark in (".", ",", "?.", "?,") if mark in told), "")
    if decimal or not ambiguous:
        return Mark(decimal or ".")
    thousands = "," if "," in ambiguous else "."
    return Mark("." if thousands == "," else ",", ambiguous[thousands])


def read(cells: pd.Series[Any], mark: str) -> Numbers:
    """Return the numbers in a column's cells, (N,) each; those with a percent sign as fractions."""
    if pd.api.types.is_any_real_numeric_dtype(cells):
        given = cells.to_numpy(dtype=float, na_value=np.nan)
        values = np.where(np.isfinite(given), given, np.nan)
        return Numbers(values, np.isinf(given), np.zeros(len(cells), bool))
    found = [_read(cell, mark) for cell in cells.astype(object)]
    parts = np.array(found, dtype=float).reshape(-1, 3)
    return Numbers(parts[:, 0], parts[:, 1] > 0, parts[:, 2] > 0)


def typed(cells: pd.Series[Any], mark: str) -> pd.Series[Any]:
    """Return a column of text as numbers where all of it is, as pandas would; else blanks as missing."""
    if pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
        return cells
    text = cells.astype(object).mask(is_blank(cells), np.nan)
    if text.isna().all() or not text.dropna().map(lambda cell: isinstance(cell, str)).all():
        return text
    plain = text.str.replace(",", ".") if mark == "," else text
    try:
        return pd.to_numeric(plain)
    except (ValueError, TypeError):
        return text


def labels(cells: pd.Series[Any], values: Array) -> tuple[Array, Array]:
    """Return numbers used as labels, distinct ones distinct, and which are floats too large to be so.

    Whole numbers from 2**53 on, which floats merge, are numbered in ascending order.

    Args:
        cells: of the column, N.
        values: their numbers, (N,).
    """
    large = np.abs(np.nan_to_num(values)) >= _EXACT
    if not large.any():
        return values, large
    whole = [_whole(cell) for cell in cells.astype(object)]
    order = {value: place for place, value in enumerate(sorted({each for each in whole if each is not None}))}
    numbered = np.array([np.nan if each is None else order[each] for each in whole])
    return numbered, large & np.isnan(numbered)


def _whole(cell: Any) -> int | None:
    if isinstance(cell, str):
        cell = _GROUPED.sub("", cell.strip())
        return int(cell) if re.fullmatch(r"[+-]?\d+", cell) else None
    if isinstance(cell, float | np.floating):
        return int(cell) if abs(float(cell)) < _EXACT and float(cell).is_integer() else None
    return int(cell) if isinstance(cell, int | np.integer) else None


def _texts(cells: pd.Series[Any]) -> Iterable[tuple[Any, str]]:
    if pd.api.types.is_numeric_dtype(cells):
        return []
    return [(row, cell.strip()) for row, cell in cells.astype(object).items() if isinstance(cell, str)]


def _body(text: str) -> str:
    return _GROUPED.sub("", text.strip().replace("−", "-").removesuffix("%").strip())


@lru_cache(maxsize=100_000)
def _evidence(text: str) -> str:
    """Return the decimal mark that a number must have; "?" and the mark if it may have; else ""."""
    body = _body(text)
    marks = [each for each in body if each in ".,"]
    if not marks or not _NUMERIC.fullmatch(body):
        return ""
    if _AMBIGUOUS.fullmatch(body):
        return f"?{marks[0]}"
    grouped = _THOUSANDS.fullmatch(body)
    if grouped:
        return "," if grouped[1] == "." else "."
    return marks[-1] if _OF_MARK[marks[-1]].fullmatch(body) else ""


def _read(cell: Any, mark: str) -> tuple[float, bool, bool]:
    """Return a cell's number, whether it is none, and whether it is a percentage."""
    if isinstance(cell, str):
        return _parsed(cell, mark)
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return math.nan, False, False
    if type(cell) is not bool and isinstance(cell, int | float | np.integer | np.floating | Decimal):
        value = float(cell)
        return (math.nan, math.isinf(value), False) if not math.isfinite(value) else (value, False, False)
    return math.nan, True, False


@lru_cache(maxsize=100_000)
def _parsed(text: str, mark: str) -> tuple[float, bool, bool]:
    if text.strip().casefold() in (*_BLANKS, *_NO_NUMBERS):
        return math.nan, False, False
    body, percent = _body(text), text.strip().endswith("%")
    if not _OF_MARK[mark].fullmatch(body):
        return math.nan, True, percent
    value = float(body.replace("," if mark == "." else ".", "").replace(mark, "."))
    if not math.isfinite(value):
        return math.nan, True, percent
    return (value / 100 if percent else value), False, percent
