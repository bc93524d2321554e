"""What a table says: its rows with their values checked; what was left out, and what was guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mousterian.errors import InputError, error_source, first_of
from mousterian.fitting import cells, table_file, unused_columns, values
from mousterian.fitting.columns import CONTEXT, RATIOS, SOURCE, Named, named
from mousterian.fitting.surface import Array
from mousterian.store.schema import DIVERGED, DONE, FAILED

# What programs say of runs that ended well, and of others.
_FINISHED = {DONE, "finished", "completed", "complete", "success", "succeeded", "ok"}
_UNFINISHED = {FAILED, DIVERGED, "crashed", "killed", "cancelled", "preempted", "error", "running", "pending"}


@dataclass(frozen=True)
class Understood:
    """Rows whose values can be used.

    Attributes:
        rows: under canonical names: counts and seeds are numbers, accuracy is a fraction; numbered from 1.
        kept: places of these rows in the table given, (R,) int.
        warnings: what was guessed or left out, as sentences.
        said: how the table was understood, a line each.
    """

    rows: pd.DataFrame
    kept: Array
    warnings: tuple[str, ...]
    said: tuple[str, ...]


def read(source: pd.DataFrame | Path | str, columns: Sequence[tuple[str, str]] = ()) -> Named:
    """Return a table from a data frame or a file, under canonical names of its columns.

    Args:
        source: the table.
        columns: canonical names, each with the user's column, where they say so.

    Raises:
        InputError: it cannot be read, has no rows, or lacks a column.
    """
    if isinstance(source, pd.DataFrame):
        return named(source, columns)
    frame, read_as = table_file.load(Path(source))
    if frame.empty:
        raise InputError("the table has no rows", where=str(source))
    with error_source(str(source)):
        return named(frame, columns, read_as=read_as)


def understood(table: Named) -> Understood:
    """Return the rows of a table that can be used, their values checked.

    Raises:
        InputError: values cannot be used, or rows are of several arms that no column of a known name tells
            apart; the message has the user's own names, the rows and what stands there.
    """
    warnings = list(table.guesses)
    if table.mark.ambiguous:
        read_as = cells.read(pd.Series([table.mark.ambiguous]), table.mark.decimal).values[0]
        warnings.append(f"{table.mark.ambiguous!r} was read as {read_as:g}, and others likewise.")
    kept = np.arange(len(table.frame))
    left_out: list[str] = []
    for leave_out in (_unfinished, _blank):
        dropped, sentence = leave_out(table, table.frame.iloc[kept])
        kept, left_out = kept[~dropped], left_out + [sentence] * bool(sentence)
    rows = values.numbers(table, table.frame.iloc[kept])
    if "weight" in rows:
        without = (rows["weight"] == 0).to_numpy()
        left_out += [f"a weight of 0 in {values.listed(rows.index[without])}"] * bool(without.any())
        rows, kept = rows[~without], kept[~without]
    if rows.empty and left_out:
        raise InputError(f"no row can be used: {'; '.join(left_out)}")
    rows = values.counts(table, rows, warnings)
    rows = rows.assign(accuracy=values.fractions(table, rows, warnings))
    values.limits(table, rows)
    if not table.ours:
        rows = _filled(table, rows, warnings)
        warnings += unused_columns.sentences(rows, table.unused)
        rows = rows.drop(columns=[name for name in (*table.unused, "status") if name in rows])
    warnings += [f"Left out: {each}." for each in left_out]
    return Understood(rows, kept, tuple(warnings), _described(table, rows, left_out))


def _unfinished(table: Named, rows: pd.DataFrame) -> tuple[Array, str]:
    """Return which rows are of trials that did not end well, by the column `status`, and what to say of them.

    Raises:
        InputError: some states are neither known as finished nor as unfinished.
    """
    none = np.zeros(len(rows), bool)
    if "status" not in rows:
        return none, ""
    status = rows["status"].astype(str).str.strip().str.casefold()
    if table.ours:
        return (status != DONE).to_numpy(), ""
    states = set(status)
    if len(states) == 1 and not states & _UNFINISHED:
        return none, ""
    if unknown := sorted(states - _FINISHED - _UNFINISHED):
        raise InputError(
            f"some rows have a status that may be finished or not: {first_of(unknown)}",
            hint="keep the rows of one with --where status=VALUE, or rename the column",
        )
    dropped = (~status.isin(_FINISHED)).to_numpy()
    names = ", ".join(sorted(states - _FINISHED))
    return dropped, f"{dropped.sum()} rows with status {names}" if dropped.any() else ""


def _blank(table: Named, rows: pd.DataFrame) -> tuple[Array, str]:
    """Return which rows lack a count or the accuracy, and what to say of them."""
    plus = [ratio if name not in rows else name for ratio, name in RATIOS.items()]
    said, found = [], np.zeros(len(rows), bool)
    for name in ("n_base", *plus, "accuracy"):
        blank = cells.is_blank(rows[name]).to_numpy() if name in rows else found
        new = blank & ~found
        if new.any():
            zero = " (write 0 where none were added)" if name in plus else ""
            said.append(f"no {table.name(name)} in {values.listed(rows.index[new])}{zero}")
        found = found | blank
    return found, "; ".join(said)


def _filled(table: Named, rows: pd.DataFrame, warnings: list[str]) -> pd.DataFrame:
    """Return rows with what names their arm filled in where some lack it and the others agree.

    Raises:
        InputError: they do not agree.
    """
    with_syn = rows["n_syn_plus"] > 0
    for name in (*CONTEXT, *SOURCE):
        if name not in rows or name == "n_upstream" or name.endswith("_options"):  # blank: none
            continue
        concerned = with_syn if name in SOURCE else pd.Series(True, index=rows.index)
        blank = cells.is_blank(rows[name]) & concerned
        there = rows.loc[concerned & ~blank, name]
        if not blank.any() or there.empty:
            continue
        where, own = values.listed(rows.index[blank]), table.name(name)
        if there.nunique() > 1:
            raise InputError(f"{own} is blank in {where}, and {first_of(sorted(map(str, there.unique())))} in"
                             " others", hint="write it in each row")  # fmt: skip
        warnings.append(f"{own} is blank in {where}: taken as {there.iloc[0]}, as in all others.")
        rows = rows.assign(**{name: rows[name].mask(blank, there.iloc[0])})
    return rows


def _described(table: Named, rows: pd.DataFrame, left_out: list[str]) -> tuple[str, ...]:
    """Return how a table was understood: rows, columns, units, what is left out and not used."""
    commas = ["with decimal commas"] * (table.mark.decimal == ",")
    known = [name if name == own else f"{name} = {own}" for name, own in table.given.items()]
    lines = [
        ", ".join([f"{len(rows)} rows", *table.read_as, *commas]),
        "columns: " + ", ".join(known),
        f"accuracy: {rows['accuracy'].min():.2%} to {rows['accuracy'].max():.2%}",
    ]
    lines += [f"left out: {each}" for each in left_out]
    lines += [f"not used: {', '.join(name or '(no name)' for name in table.unused)}"] * bool(table.unused)
    return tuple(lines)
