"""Parquet files of trials: one row for each trial and evaluation, in the columns of `schema.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian import schema
from mousterian.errors import InputError
from mousterian.schema import STATUSES, arrow_schema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_RANK = {status: rank for rank, status in enumerate(STATUSES)}
_KEYS = ["trial", "evaluation", "evaluation_options", "evaluation_set"]
# A file of one row is written and read faster without what makes large files small.
_PLAIN = {"compression": "none", "use_dictionary": False, "write_statistics": False}


def rank(status: str) -> int:
    """Return the place of a status among those of one trial; the lowest counts."""
    return _RANK.get(status, len(_RANK))


def content(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as the bytes of a parquet file."""
    import pyarrow as pa

    table = pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema())
    return table_content(table)


def table_content(table: pa.Table) -> bytes:
    """Return a table as the bytes of a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **(_PLAIN if len(table) < 100 else {}))
    written: bytes = sink.getvalue().to_pybytes()
    return written


def read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return a file's table, with the columns of this version, or those asked for.

    Raises:
        FileNotFoundError: there is none (it may have been compacted since it was listed).
        InputError: it cannot be read, or a newer mousterian has written it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:  # for small files on a disk, a loss
            metadata = file.schema_arrow.metadata or {}
            version = int(metadata.get(b"mousterian_schema_version", b"0"))
            refuse_newer(version, path)
            table = file.read(columns=columns, use_threads=file.metadata.num_rows > 1000)
            if columns or table.schema == arrow_schema():
                return table
            return (_completed(table) if version < schema.SCHEMA_VERSION else table).cast(arrow_schema())
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"not a readable trial file ({error})",
            where=str(path),
            hint="`mousterian store verify` lists such files; delete it and run the grid again",
        ) from error


def _completed(table: pa.Table) -> pa.Table:
    """Return an older version's table with the columns that it lacks, empty."""
    import pyarrow as pa

    for field in arrow_schema():
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(arrow_schema().names)


def refuse_newer(version: int, path: Path) -> None:
    """Refuse what a newer mousterian has written.

    Raises:
        InputError: `version` is above this one's.
    """
    if version > schema.SCHEMA_VERSION:
        raise InputError(
            f"written by a newer mousterian (schema {version}, this one knows {schema.SCHEMA_VERSION})",
            where=str(path),
            hint="update mousterian",
        )


def in_order(table: pa.Table) -> pd.DataFrame:
    """Return each trial's rows of its best status, each evaluation once, in the order of the hashes."""
    import numpy as np
    import pyarrow.compute as pc

    table = table.combine_chunks()
    order = pc.sort_indices(table, sort_keys=[(key, "ascending") for key in _KEYS])
    if not np.array_equal(order, np.arange(len(table))):
        table = table.take(order)
    frame: pd.DataFrame = table.to_pandas()
    ranks = frame["status"].map(_RANK).fillna(len(_RANK))
    if ranks.nunique() > 1:
        best = ranks == ranks.groupby(frame["trial"]).transform("min")
        frame = frame[best]
    return frame.drop_duplicates(_KEYS).reset_index(drop=True)
