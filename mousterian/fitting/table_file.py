"""Read files of tables as spreadsheets, pandas and R write them: separators, encodings, indices, JSON."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mousterian.errors import InputError

# Name of a table's index: row numbers from 1, so that errors name a row after sorting, too.
ROW = "row"
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_INDEX_NAMES = re.compile(r"|Unnamed: \d+(\.\d+)*|index|rownames|X", re.IGNORECASE)
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")


class File(NamedTuple):
    """A table, its cells as the file has them, rows numbered from 1; and how it was read, in a few words."""

    frame: pd.DataFrame
    read_as: tuple[str, ...] = ()


def load(path: Path) -> File:
    """Return the table in a file: CSV, TSV, text, parquet or JSON.

    Raises:
        InputError: there is no such file, or it is not a table; it names the line.
    """
    readers: dict[str, Callable[[Path], File]] = {
        **dict.fromkeys((".csv", ".tsv", ".txt"), _text),
        ".parquet": _parquet,
        **dict.fromkeys((".json", ".jsonl"), _json),
    }
    kind = path.suffix.lower()
    if kind not in readers:
        save = "save the sheet as CSV" if kind in _SPREADSHEETS else f"give one of {', '.join(readers)}"
        raise InputError(f"cannot read a table from {path.suffix or 'this'}", where=str(path), hint=save)
    try:
        frame, read_as = readers[kind](path)
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except InputError as error:
        raise InputError(error.what, where=str(path), hint=error.hint) from error
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"not a readable table ({error})", where=str(path)) from error
    frame, dropped = numbered(frame)
    # Rows of empty cells are what spreadsheets write below a table; the others keep their numbers.
    return File(frame[frame.notna().any(axis=1)], (*read_as, *dropped))


def numbered(frame: pd.DataFrame) -> File:
    """Return a frame with rows numbered from 1, without columns of row numbers; repeated columns are one.

    Raises:
        InputError: a column is there twice, with different values.
    """
    if frame.index.name != ROW or not frame.index.is_unique:
        if any(name is not None and name not in frame for name in frame.index.names):
            frame = frame.reset_index()
        frame = frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name=ROW))
    return _without_index(_once(frame))


def _once(frame: pd.DataFrame) -> pd.DataFrame:
    names = [str(name).strip() for name in frame]
    frame = frame.set_axis(names, axis=1)
    again = [at for at, name in enumerate(names) if name and name in names[:at]]
    for place in again:
        first = names.index(names[place])
        cells = frame.to_numpy(dtype=object)[:, [first, place]]
        unlike = [at for at, pair in enumerate(cells) if pair[0] != pair[1] and not all(map(pd.isna, pair))]
        if unlike:
            one, two = cells[unlike[0]]
            raise InputError(
                f"column {names[place]!r} is there twice (columns {first + 1} and {place + 1}), with"
                f" different values: {one!r} and {two!r} in row {frame.index[unlike[0]]}",
                hint="rename or delete one of them",
            )
    return frame.iloc[:, [at for at in range(len(names)) if at not in again]] if again else frame


def _without_index(frame: pd.DataFrame) -> File:
    """Leave out columns of row numbers, and those with neither name nor cells."""
    empty = [not name and bool(frame.iloc[:, at].isna().all()) for at, name in enumerate(frame.columns)]
    frame = frame.loc[:, ~np.array(empty, bool)]
    if not len(frame.columns) or not _INDEX_NAMES.fullmatch(frame.columns[0]):
        return File(frame)
    cells = frame.iloc[:, 0]
    values = pd.to_numeric(cells.astype(object), errors="coerce")
    rows = bool((values.diff().iloc[1:] > 0).all()) and bool(values.notna().all())
    names = not frame.columns[0] and cells.is_unique
    return File(frame.iloc[:, 1:], ("without its index",)) if rows or names else File(frame)


def _text(path: Path) -> File:
    text, encoding = _decoded(path.read_bytes())
    lines = text.splitlines(keepends=True)
    separator = ""
    if lines and (said := re.fullmatch(r"sep=(.)", lines[0].strip())):  # Excel's own first line
        separator, lines = said[1], lines[1:]
    separator = separator or _separator(lines)
    rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=False))
    while rows and not any(cell.strip() for cell in rows[0]):
        rows = rows[1:]
    if not rows:
        raise InputError("the table has no rows")
    if separator == " ":
        rows = [row[:-1] if row and not row[-1] else row for row in rows]
    frame, dropped = _rectangular(rows, lines)
    return File(frame, (f"separated by {_SEPARATORS.get(separator, repr(separator))}", *encoding, *dropped))


def _decoded(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the text, and its encoding unless it is UTF-8."""
    encoding = next((name for mark, name in _BOMS.items() if data.startswith(mark)), "")
    if not encoding and b"\0" in data[:200]:  # UTF-16 without its mark: each second byte of ASCII is zero
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    if encoding:
        return data.decode(encoding), () if encoding == "utf-8-sig" else ("in UTF-16",)
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), ("in Windows-1252, as it is not UTF-8",)


def _separator(lines: Sequence[str]) -> str:
    """Return what separates the header's fields: what gives most of them; spaces only if nothing else does.

    `csv.Sniffer` picks the comma in semicolon-separated rows with decimal commas.
    """
    header = next((line for line in lines if line.strip()), "")
    fields = {
        each: len(next(csv.reader([header], delimiter=each), [])) for each in _SEPARATORS if each != " "
    }
    best = max(fields, key=lambda each: fields[each])
    return best if fields[best] > 1 or " " not in header.strip() else " "


def _rectangular(rows: list[list[str]], lines: Sequence[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return rows of fields as a frame: a separator at the end of rows is none, R's row names are an index.

    Raises:
        InputError: rows have more fields than the header.
    """
    header, body = rows[0], rows[1:]
    width = len(header)
    longer = [number for number, row in enumerate(body, 1) if any(cell.strip() for cell in row[width:])]
    said: tuple[str, ...] = ()
    if longer and _row_names(body, width, lines):
        header, width, longer, said = ["", *header], width + 1, [], ("without R's row names",)
    if longer:
        row = body[longer[0] - 1]
        raise InputError(
            f"row {longer[0]} has {len(row)} fields and the header has {width}: {', '.join(row)}",
            hint="name each column in the first line; text and decimal commas that contain the separator need"
            " quotes, or another separator",
        )
    cells = [[(cell.strip() or None) for cell in row[:width]] + [None] * (width - len(row)) for row in body]
    return pd.DataFrame(cells, columns=[name.strip() for name in header], dtype=object), said


def _row_names(body: Sequence[Sequence[str]], width: int, lines: Sequence[str]) -> bool:
    """Return whether each row begins with a name of its own that the header does not count, as R writes."""
    filled = [row for row in body if any(cell.strip() for cell in row)]
    if any(len(row) != width + 1 for row in filled):
        return False
    names = [row[0] for row in filled]
    quoted = [line.startswith('"') for line in lines if line.strip()]
    return names == [str(n) for n in range(1, len(names) + 1)] or (
        len(set(names)) == len(names) and all(quoted)
    )


def _parquet(path: Path) -> File:
    import pyarrow.parquet

    # As objects, large numbers beside missing ones stay what they are.
    return File(pyarrow.parquet.read_table(path).to_pandas(integer_object_nulls=True))


def _json(path: Path) -> File:
    text, encoding = _decoded(path.read_bytes())
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except json.JSONDecodeError as error:
            raise InputError(f"not JSON, nor a JSON object a line ({error})") from error
    return File(_frame(found), encoding)


def _frame(found: Any) -> pd.DataFrame:
    """Return a table from any of the forms in which pandas and others write one as JSON."""
    if isinstance(found, dict) and {"columns", "data"} <= set(found):
        return pd.DataFrame(found["data"], columns=found["columns"], dtype=object).infer_objects()
    if isinstance(found, dict) and "data" in found and isinstance(found["data"], list):
        found = found["data"]
    if isinstance(found, dict) and found and all(isinstance(each, dict) for each in found.values()):
        records = [name for name in found if not str(name).isdigit()]
        # By row, {"0": {"n_base": 100, ...}}, or by column, {"n_base": {"0": 100, ...}}.
        found = found if records else list(found.values())
    if isinstance(found, dict):
        columns = {
            name: list(each.values()) if isinstance(each, dict) else each for name, each in found.items()
        }
        if all(isinstance(each, list) for each in columns.values()):
            return pd.DataFrame(columns, dtype=object).infer_objects()
    if isinstance(found, list) and found and all(isinstance(each, dict) for each in found):
        return pd.DataFrame(found, dtype=object).infer_objects()
    raise InputError(
        "not a table: rows are objects with a key for each column",
        hint='e.g. [{"n_base": 500, "n_real_plus": 0, "n_syn_plus": 0, "accuracy": 0.71}, ...]',
    )
