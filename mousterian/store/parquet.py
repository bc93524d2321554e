"""Parquet files; those of trials have a row for each trial and evaluation, in the columns of `schema.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.errors import InputError
from mousterian.store import schema
from mousterian.store.schema import STATUSES, arrow_schema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


_RANK = {status: rank for rank, status in enumerate(STATUSES)}
_VERSION = b"mousterian_schema_version"
_KEYS = ["trial", "evaluation", "evaluation_options", "evaluation_set"]
# In a file of one row, compression and column metadata take more space than the row.
_BARE = {"compression": "none", "use_dictionary": False, "write_statistics": False, "store_schema": False}
_THREADS = 2  # for reading small files: about half of the time is spent outside the interpreter lock
_BATCH = 50  # small files joined at once; more would use memory without being faster


def rank(status: str) -> int:
    """Return the rank of a status; of one trial's rows, those of the lowest rank count."""
    return _RANK.get(status, len(_RANK))


def content(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as the bytes of a parquet file."""
    import pyarrow as pa

    table = pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema())
    return _table_content(table)


def frame_content(frame: pd.DataFrame) -> bytes:
    """Return the rows of a store's data frame as the bytes of a parquet file."""
    import pyarrow as pa

    return _table_content(pa.Table.from_pandas(frame, schema=arrow_schema(), preserve_index=False))


def _table_content(table: pa.Table) -> bytes:
    import pyarrow as pa

    if len(table) >= 100:
        return written(table)
    bare = pa.schema([(field.name, field.type) for field in table.schema])
    return written(table.cast(bare), table.schema.metadata, **_BARE)


def written(table: pa.Table, metadata: Mapping[bytes, bytes] | None = None, **options: Any) -> bytes:
    """Return a table as the bytes of a parquet file, with further metadata and pyarrow's options."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata or {})
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return a file's table, with the columns of this version, or the given ones.

    Raises:
        FileNotFoundError: there is none (it may have been compacted since it was listed).
        InputError: it cannot be read, or was written by a newer mousterian.
    """
    with _readable(path):
        table = _as_written(path, columns)
        return table if columns else _of_this_version(table)


def read_all(paths: Sequence[Path]) -> pa.Table:
    """Return the rows of many files, with the columns of this version.

    Raises:
        FileNotFoundError: one is gone (it may have been compacted since it was listed).
        InputError: one cannot be read, or was written by a newer mousterian.
    """
    import pyarrow as pa

    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    with ThreadPoolExecutor(_THREADS) as threads:
        return pa.concat_tables(threads.map(_joined, batches))


def _joined(paths: Sequence[Path]) -> pa.Table:
    """Return the rows of a few files; files of one schema are converted together, which is faster."""
    import pyarrow as pa

    tables = []
    for path in paths:
        with _readable(path):
            tables.append(_as_written(path, None))
    if all(table.schema.equals(tables[0].schema, check_metadata=True) for table in tables):
        with suppress(pa.ArrowException, ValueError):  # one is corrupt; it is named below
            return _of_this_version(pa.concat_tables(tables)).combine_chunks()
    return pa.concat_tables([read(path) for path in paths])


def _readable(path: Path) -> AbstractContextManager[None]:
    again = "`mousterian store verify` lists such files; delete it and run the grid again"
    return readable(path, "trial file", again)


@contextmanager
def readable(path: Path, kind: str, hint: str) -> Iterator[None]:
    """Name a file and its kind in errors while reading it; one that is gone stays a FileNotFoundError."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"not a readable {kind} ({error})", where=str(path), hint=hint) from error


def _as_written(path: Path, columns: list[str] | None) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:  # pre-buffering slows down small files
        # The version is in both; parsing the schema is slow for a file of one row.
        metadata = file.metadata.metadata or {}
        refuse_newer(_version(metadata if _VERSION in metadata else file.schema_arrow.metadata), path)
        return file.read(columns=columns, use_threads=file.metadata.num_rows > 1000)


def _version(metadata: Mapping[bytes, bytes] | None) -> int:
    return int((metadata or {}).get(_VERSION, b"0"))


def _of_this_version(table: pa.Table) -> pa.Table:
    """Return a table in this version's schema."""
    if _version(table.schema.metadata) < schema.SCHEMA_VERSION:
        table = _completed(table)
    return table.cast(arrow_schema())


def _completed(table: pa.Table) -> pa.Table:
    """Return an older version's table with its missing columns added, empty."""
    import pyarrow as pa

    for field in arrow_schema():
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(arrow_schema().names)


def refuse_newer(version: int, path: Path, newest: int = schema.SCHEMA_VERSION, name: str = "schema") -> None:
    """Refuse files of a newer mousterian.

    Raises:
        InputError: `version` is above the newest that this one reads.
    """
    if version > newest:
        raise InputError(
            f"written by a newer mousterian ({name} {version}, this one reads up to {newest})",
            where=str(path),
            hint="update mousterian",
        )


def in_order(table: pa.Table) -> pd.DataFrame:
    """Return each trial's rows of its best status, each evaluation once, in the order of trial hashes."""
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
