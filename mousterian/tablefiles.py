"""Tables and stores as they are asked for on the command line -> arms to fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mousterian import published
from mousterian.errors import InputError, unknown_name
from mousterian.fitting.arms import arms
from mousterian.fitting.table import load, renamed
from mousterian.options import pair
from mousterian.store import DIVERGED, FAILED, Store

PUBLISHED = "published:"


@dataclass(frozen=True)
class Arm:
    """Rows to fit together, with a name, what describes them, and the file or folder they came from."""

    name: str
    labels: Mapping[str, str]
    rows: pd.DataFrame
    source: str = ""


def read_arms(sources: Sequence[str], store: Path, where: Sequence[str]) -> tuple[list[Arm], str]:
    """Return the arms of tables, and what was left out of them: a sentence, or nothing.

    Args:
        sources: files, folders of stores, or `published:NAME`; without any, the store.
        store: folder of the store.
        where: `COLUMN=VALUE` conditions that rows must meet.

    Raises:
        InputError: a source cannot be read, or a condition leaves no row.
    """
    found: list[Arm] = []
    left_out = dict.fromkeys((FAILED, DIVERGED), 0)
    for source in sources or [str(store)]:
        if source.startswith(PUBLISHED):
            paper = published.load(source.removeprefix(PUBLISHED))
            rows = select(paper.rows, where)
            found.append(Arm(paper.name.replace("/", "-"), paper.labels, rows, source))
            continue
        path = Path(source)
        frame = Store(path).read() if path.is_dir() or not sources else _usable(load(path), source)
        frame = select(frame, where)
        trials = frame.drop_duplicates("trial") if "trial" in frame else frame
        for status in left_out if "status" in frame else ():
            left_out[status] += int((trials["status"] == status).sum())
        split = arms(frame).items()
        plain = len(split) == 1 and "dataset" not in frame
        found += [Arm(path.stem if plain else name, labels, rows, source) for name, (labels, rows) in split]
    if not found:
        raise InputError(
            "no finished trial here: all have failed or diverged", where=str(store), hint="see their `error`"
        )
    told = " and ".join(f"{count} {status}" for status, count in left_out.items() if count)
    return found, told and f"{told} trials are left out"


def _usable(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return a table that has its columns and some rows."""
    if frame.empty:
        raise InputError("the table has no rows", where=source)
    with told_where(source):
        return renamed(frame)


@contextmanager
def told_where(source: str) -> Iterator[None]:
    """Say in an error that names no place which file it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(error.what, where=error.where or source, hint=error.hint) from error


def select(frame: pd.DataFrame, conditions: Iterable[str]) -> pd.DataFrame:
    """Return the rows whose columns have the values of `COLUMN=VALUE` conditions."""
    for condition in conditions:
        column, value = pair(condition, flag="--where", form="COLUMN=VALUE")
        if column not in frame:
            raise unknown_name("column", column, map(str, frame), where="--where")
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        try:
            kept = (
                frame[frame[column] == float(value)] if numeric else frame[frame[column].astype(str) == value]
            )
        except ValueError:
            raise InputError(
                f"column {column!r} holds numbers, and {value!r} is none", where="--where"
            ) from None
        if kept.empty:
            values = frame[column].dropna()
            there = ", ".join(map(str, sorted(values.unique() if numeric else set(map(str, values)))[:8]))
            raise InputError(f"no row has {condition}", where="--where", hint=f"{column} is one of {there}")
        frame = kept
    return frame
