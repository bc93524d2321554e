"""Columns of a table that nothing uses: which of them may be arms that must not be pooled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mousterian.errors import InputError, first_of
from mousterian.fitting.columns import COUNTS

_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
# A column with other values in more rows than this share is a measurement or a note, and names no arms.
_DISTINCT = 1 / 3


def sentences(rows: pd.DataFrame, unused: Sequence[str]) -> tuple[str, ...]:
    """Return warnings of columns that vary and could matter.

    Args:
        rows: counts are numbers.
        unused: the columns that nothing uses; those that the user says are unused are no longer there.

    Raises:
        InputError: rows of one mixture with synthetic images have several names in a column of text, so that
            they look like several arms.
    """
    said = []
    synthetic = rows[rows["n_syn_plus"] > 0]
    for name in (each for each in unused if each in rows):
        values = rows[name].astype(str)
        most = max(_DISTINCT * len(rows), 2) if _is_text(rows[name]) else _DISTINCT * len(rows)
        if not 1 < values.nunique() <= most:
            continue
        for part, what in ((synthetic, "with synthetic images"), (rows, "of one mixture")):
            if not _varies(part, name):
                continue
            found = sorted(part[name].astype(str).unique())
            if part is synthetic and _is_text(part[name]):
                raise _several_arms(name, found)
            said.append(
                f"Column {name!r} varies among rows {what} ({first_of(found)}) and is not used: they count as"
                " repeats of one another."
            )
            break
        else:
            if _is_text(rows[name]) and synthetic[name].nunique() > 1 and not _of_sizes(synthetic, name):
                found = sorted(synthetic[name].astype(str).unique())
                said.append(f"Column {name!r} varies ({first_of(found)}) and is not used.")
    return tuple(said)


def _varies(rows: pd.DataFrame, name: str) -> bool:
    """Return whether rows of one mixture have several values."""
    return bool((rows.groupby(list(COUNTS))[name].nunique() > 1).any())


def _of_sizes(rows: pd.DataFrame, name: str) -> bool:
    """Return whether a column says no more than the base's size, or what was added."""
    added = rows["n_real_plus"] > 0
    return any(int(rows.groupby(key)[name].nunique().max()) == 1 for key in (rows["n_base"], added))


def _is_text(values: pd.Series[Any]) -> bool:
    """Return whether a column holds names rather than numbers or dates."""
    there = values.dropna()
    names = there.map(lambda cell: isinstance(cell, str | bool | np.bool_)).any()
    return bool(names) and not there.astype(str).str.match(_DATE).all()


def _several_arms(name: str, found: Sequence[str]) -> InputError:
    own = f"'{name}'" if re.search(r"\W", name) else name
    return InputError(
        f"column {name!r} varies among rows of one mixture with synthetic images ({first_of(found)}) and is"
        " not used: are these several generators?",
        hint=f"--column generator={own} fits each by itself (or model=, strategy=, training_seed=);"
        f" --column unused={own} pools them; in Python, rename or drop the column",
    )
