"""The store's quality table: measurements of each pool. Needs no torch.

`STORE/quality/HASH.parquet` holds the rows of one measurement: one measure of one pool, one row for each
quantity; `STORE/quality/points/HASH.parquet` the points of its scatter plot, if any. Files are written
atomically. HASH covers all identity columns, so that no measurement is repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.store import parquet

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


QUALITY_VERSION = 1  # raised whenever the same identity would give another value
# Name, arrow type, meaning.
COLUMNS = (
    ("measurement", "string", "hash of everything that determines the values; the file's name"),
    ("quality_version", "int32", "version of this table of columns and of the measures"),
    ("pool", "string", "hash of the pool, as in the trials' column `pool`"),
    ("images", "int64", "synthetic images measured: the pool's first"),
    ("filters", "string", "filters whose accepted images were measured, a JSON list; empty: all images"),
    ("dataset", "string", "dataset whose real images the pool is compared with"),
    ("dataset_options", "string", "its options, JSON"),
    ("measure", "string", "quality measure plug-in"),
    ("measure_options", "string", "its options, JSON"),
    ("features", "string", "feature space of the values; empty for a measure without one"),
    ("features_stamp", "string", "identifies the weights of the feature space; empty if it reads no file"),
    ("seed", "int64", "seed of the measure's random choices"),
    ("quantity", "string", "the quantity measured, e.g. fid"),
    ("value", "float64", "the value; values of different feature spaces must never be compared"),
    ("generator", "string", "generator plug-in of the pool"),
    ("trained_on", "string", "base (internal), upstream or elsewhere (external)"),
    ("n_base", "int64", "size of the S_base that the generator was trained on; 0 if external"),
    ("n_upstream", "int64", "real images outside S_base that the generator was trained on"),
    ("generator_options", "string", "its options, JSON"),
    ("generator_seed", "int64", "seed of the generator's training and sampling"),
    ("subset_seed", "int64", "which subsets the generator was trained on"),
    ("real_images", "int64", "real training images of the dataset"),
    ("test_images", "int64", "its test images"),
    ("seconds", "float64", "wall-clock time of the measure, seconds"),
    ("device", "string", "cpu, or the accelerator's name"),
    ("versions", "string", "versions of Python and the packages that matter, JSON"),
    ("revision", "string", "git revision of mousterian's source, '+' if changed; empty if unknown"),
    ("finished_at", "string", "end of the measure, UTC, ISO 8601"),
)


@cache
def arrow_schema() -> pa.Schema:
    """Return the table's schema; each field's meaning is in its metadata under `meaning`."""
    import pyarrow as pa

    fields = [
        pa.field(name, getattr(pa, kind)(), metadata={"meaning": meaning}) for name, kind, meaning in COLUMNS
    ]
    return pa.schema(fields, metadata={"mousterian_quality_version": str(QUALITY_VERSION)})


class QualityTable:
    """Measurements of the pools of a store.

    Args:
        store: the store's folder.
    """

    def __init__(self, store: Path | str) -> None:
        self.folder = Path(store) / "quality"

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Save the rows of one measurement (one per quantity).

        Raises:
            InputError: the store cannot be written.
        """
        import pyarrow as pa

        table = pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema())
        write_atomically(self._file(rows[0]["measurement"]), parquet.written(table))

    def write_points(self, measurement: str, columns: Mapping[str, Any]) -> None:
        """Save the points of a measurement's scatter plot: `x`, `y`, `synthetic`, `label`, each (N,)."""
        import pyarrow as pa

        write_atomically(self.points_file(measurement), parquet.written(pa.table(dict(columns))))

    def points_file(self, measurement: str) -> Path:
        """Return the file of a measurement's points, whether or not it exists."""
        return self.folder / "points" / f"{measurement}.parquet"

    def _file(self, measurement: str) -> Path:
        return self.folder / f"{measurement}.parquet"

    def rows(self, measurement: str) -> list[dict[str, Any]]:
        """Return the rows of a measurement; none if it is missing or corrupt, so that it is made again."""
        try:
            rows: list[dict[str, Any]] = _read(self._file(measurement)).to_pylist()
            return rows
        except (FileNotFoundError, InputError):
            return []

    def read(self) -> pd.DataFrame:
        """Return all rows, one per measurement and quantity.

        Raises:
            InputError: a file cannot be read, or was written by a newer mousterian.
        """
        import pyarrow as pa

        tables = [_read(path) for path in sorted(self.folder.glob("*.parquet"))]
        frame: pd.DataFrame = pa.concat_tables([arrow_schema().empty_table(), *tables]).to_pandas()
        return frame

    def copy(self, pools: Collection[str], store: Path) -> int:
        """Copy the measurements of some pools, whole or filtered, to another store's folder.

        Returns:
            How many measurements.

        Raises:
            InputError: a file cannot be read or written.
        """
        found = self.read()
        measured = sorted(set(found.loc[found["pool"].isin(list(pools)), "measurement"]))
        there = QualityTable(store)
        for each in measured:
            write_atomically(there._file(each), self._file(each).read_bytes())
            if self.points_file(each).exists():
                write_atomically(there.points_file(each), self.points_file(each).read_bytes())
        return len(measured)

    def verify(self) -> Iterator[tuple[Path, str]]:
        """Yield each file that cannot be read, and what is wrong with it."""
        for path in sorted(self.folder.glob("*.parquet")):
            try:
                _read(path)
            except InputError as error:
                yield path, error.what


def of_whole_pools(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows measured on a pool's first images, not on a filtered subset."""
    return frame[frame["filters"].fillna("") == ""]


def wide(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pool, to join with trials on `pool`; filtered subsets are left out.

    Of repeated measurements, those of the most images count, and of these the latest.

    Columns are named by quantity and feature space, e.g. "fid [classifier:digits]", so that values of
    different spaces are never mixed; only "fid [inception]" is the FID of the literature.
    """
    latest = of_whole_pools(frame).sort_values(["images", "finished_at"])
    labels = latest["quantity"].where(
        latest["features"] == "", latest["quantity"] + " [" + latest["features"] + "]"
    )
    keys = ["pool", "dataset", "dataset_options"]
    table = latest.assign(label=labels).pivot_table("value", keys, "label", aggfunc="last")
    return table.rename_axis(columns=None).reset_index()


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    again = "delete it and run `mousterian quality` again"
    with parquet.readable(path, "file of measurements", again), pq.ParquetFile(path) as file:
        version = int((file.schema_arrow.metadata or {}).get(b"mousterian_quality_version", b"0"))
        parquet.refuse_newer(version, path, QUALITY_VERSION, "quality")
        table = file.read()
        if "filters" not in table.column_names:  # written before pools were measured through filters
            table = table.add_column(4, "filters", pa.array([""] * len(table)))
        return table.cast(arrow_schema())
