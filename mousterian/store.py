"""The store: every trial's row in parquet. The only code that reads or writes trial files.

A store is a folder. `trials/` holds one file a trial, named `HASH.STATUS.parquet`, written under a
temporary name, fsynced and renamed, so that a file is whole or absent; `compact/` holds many trials in
one file. A failed trial that later succeeds is replaced. `pools/` beside them belongs to `pools.py`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA_VERSION = 1
# Diverged is a result: the training was sound and its loss was not. Fits leave it out, as they do failures.
DONE, DIVERGED, FAILED = "done", "diverged", "failed"
STATUSES = (DONE, DIVERGED, FAILED)  # of two files of one trial, the status that stands first counts


@dataclass(frozen=True)
class Column:
    """One column of the store: its arrow type (as text), its group and what it means."""

    name: str
    type: str
    group: str
    meaning: str


COLUMNS = tuple(
    Column(*row)
    for row in (
        ("trial", "string", "identity", "hash of all identity columns; the trial's name everywhere"),
        ("cell", "string", "identity", "hash of the identity columns but the seeds"),
        ("schema_version", "int32", "identity", "version of this table of columns"),
        ("dataset", "string", "identity", "dataset plug-in that gives training and test images"),
        ("dataset_options", "string", "identity", "its options, JSON"),
        (
            "imbalance",
            "float64",
            "identity",
            "size of the largest class of S_base over the smallest; 1 is balanced",
        ),
        ("n_base", "int64", "identity", "real images in the base training set S_base"),
        ("n_real_plus", "int64", "identity", "real images added to S_base"),
        ("n_syn_plus", "int64", "identity", "synthetic images added to S_base"),
        ("r_real", "float64", "identity", "n_real_plus / n_base"),
        ("r_syn", "float64", "identity", "n_syn_plus / n_base"),
        ("generator", "string", "identity", "generator plug-in; empty where nothing synthetic is added"),
        (
            "trained_on",
            "string",
            "identity",
            "base (internal), upstream or elsewhere (external); empty without a generator",
        ),
        ("n_upstream", "int64", "identity", "real images outside S_base that the generator was trained on"),
        ("generator_options", "string", "identity", "its options, JSON"),
        ("generator_seed", "int64", "identity", "seed of the generator's training and sampling"),
        ("pool", "string", "identity", "hash of the pool that the synthetic images came from"),
        ("model", "string", "identity", "classifier plug-in"),
        ("model_options", "string", "identity", "its options, JSON"),
        ("strategy", "string", "identity", "how the mixture is trained on"),
        ("strategy_options", "string", "identity", "its options, JSON"),
        ("recipe", "string", "identity", "name of the training recipe"),
        ("recipe_options", "string", "identity", "every value of the recipe, JSON"),
        ("subset_seed", "int64", "identity", "which nested subsets S_base and the real additions are"),
        ("training_seed", "int64", "identity", "initialisation and data order"),
        ("evaluation", "string", "identity", "evaluation plug-in that this row is of"),
        ("evaluation_options", "string", "identity", "its options, JSON"),
        ("evaluation_set", "string", "result", "images that it was evaluated on"),
        ("top1", "float64", "result", "share of test images whose first answer is right (0 to 1)"),
        ("top5", "float64", "result", "share with the right class among the first five answers (0 to 1)"),
        ("correct", "int64", "result", "test images answered right"),
        ("total", "int64", "result", "test images"),
        ("per_class", "list<float64>", "result", "top-1 accuracy of each class, in label order (0 to 1)"),
        ("loss", "float64", "result", "mean cross-entropy on the test images, nats"),
        ("seconds", "float64", "cost", "wall-clock time of the whole trial, seconds"),
        ("train_seconds", "float64", "cost", "wall-clock time of the training loop, seconds"),
        ("steps", "int64", "cost", "optimiser steps"),
        ("images_seen", "int64", "cost", "training images seen, with repeats"),
        ("device", "string", "cost", "cpu, or the accelerator's name"),
        ("grid", "string", "provenance", "name of the grid that first asked for the trial"),
        ("versions", "string", "provenance", "versions of Python and the packages that matter, JSON"),
        (
            "revision",
            "string",
            "provenance",
            "git revision of mousterian's source, '+' if changed; empty if unknown",
        ),
        ("finished_at", "string", "provenance", "end of the trial, UTC, ISO 8601"),
        ("status", "string", "status", "done, diverged or failed"),
        ("error", "string", "status", "what went wrong, for a diverged or failed trial"),
    )
)


def arrow_schema() -> pa.Schema:
    """Return the schema; each field's meaning is in its metadata under `meaning`."""
    import pyarrow as pa

    types = {"list<float64>": pa.list_(pa.float64())}
    return pa.schema(
        [
            pa.field(c.name, types.get(c.type) or getattr(pa, c.type)(), metadata={"meaning": c.meaning})
            for c in COLUMNS
        ],
        metadata={"mousterian_schema_version": str(SCHEMA_VERSION)},
    )


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or absent, whatever happens: temporary name, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make this folder ({error.strerror})", where=str(path.parent)) from error
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot write ({error.strerror})",
            where=str(path),
            hint="free space or mend permissions, then run the same command again",
        ) from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Store:
    """The rows of many trials in one folder.

    Args:
        folder: the store's folder; made on the first write.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    @property
    def trials(self) -> Path:
        """Folder of the files that hold one trial each."""
        return self.folder / "trials"

    @property
    def compacted(self) -> Path:
        """Folder of the files that hold many trials each."""
        return self.folder / "compact"

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the rows (one for each evaluation) of one trial."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema())
        trial, status = rows[0]["trial"], rows[0]["status"]
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        write_atomically(self.trials / f"{trial}.{status}.parquet", sink.getvalue().to_pybytes())
        if status == DONE:
            (self.trials / f"{trial}.{FAILED}.parquet").unlink(missing_ok=True)

    def status(self) -> dict[str, str]:
        """Return the status of every trial by its hash; file names tell, so nothing is opened."""
        found: dict[str, str] = {}
        trials = list(self._files(self.trials))
        for path in self._files(self.compacted):
            table = _read(path, columns=["trial", "status"])
            found.update(zip(table["trial"].to_pylist(), table["status"].to_pylist(), strict=True))
        for path in trials:
            trial, status = path.name.split(".")[:2]
            if found.get(trial) != DONE:
                found[trial] = status
        return found

    def read(self) -> pd.DataFrame:
        """Return all rows as a data frame, one for each trial and evaluation, in the order of their hashes.

        Raises:
            InputError: there is no store, it is empty, or a file in it cannot be read.
        """
        import pyarrow as pa

        # Trials first: what a compaction moves meanwhile is then seen twice, not never.
        trials = list(self._files(self.trials))
        paths = [*self._files(self.compacted), *trials]
        if not paths:
            raise InputError(
                "no trials here",
                where=str(self.folder),
                hint="run `mousterian grid FILE` first, or name the right --store",
            )
        table = pa.concat_tables([_read(path) for path in paths])
        frame: pd.DataFrame = table.to_pandas()
        frame["_failed"] = frame["status"] != DONE
        keys = ["trial", "evaluation", "evaluation_options", "evaluation_set"]
        frame = frame.sort_values([*keys, "_failed"], kind="stable").drop_duplicates(keys)
        solved = frame.loc[~frame["_failed"], "trial"]
        frame = frame[~(frame["_failed"] & frame["trial"].isin(solved))]
        return frame.drop(columns="_failed").reset_index(drop=True)

    def compact(self) -> int:
        """Join all files into one, losing nothing if cut off; return how many trial files went into it."""
        import hashlib

        import pyarrow as pa
        import pyarrow.parquet as pq

        singles = list(self._files(self.trials))
        olds = list(self._files(self.compacted))
        if not singles and len(olds) < 2:
            return 0
        table = pa.Table.from_pandas(self.read(), schema=arrow_schema(), preserve_index=False)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        content = sink.getvalue().to_pybytes()
        target = self.compacted / f"{hashlib.sha256(content).hexdigest()[:16]}.parquet"
        write_atomically(target, content)
        for path in [*singles, *olds]:
            if path != target:
                path.unlink(missing_ok=True)
        return len(singles)

    def holds(self, trial: str) -> bool:
        """Tell whether a trial has been finished and not been compacted since; one look at a file name."""
        return (self.trials / f"{trial}.{DONE}.parquet").exists()

    def verify(self) -> Iterator[tuple[Path, str]]:
        """Yield each file that is not sound and what is wrong with it; leftovers of killed writes too.

        Raises:
            InputError: there is no store.
        """
        if not self.folder.is_dir():
            raise InputError("there is no store here", where=str(self.folder))
        for path in [*self._files(self.compacted), *self._files(self.trials)]:
            try:
                table = _read(path)
            except InputError as error:
                yield path, error.what
                continue
            if path.parent == self.trials:
                trial, status = path.name.split(".")[:2]
                inside = set(zip(table["trial"].to_pylist(), table["status"].to_pylist(), strict=True))
                if inside != {(trial, status)}:
                    yield path, f"holds {sorted(inside)}, not what its name says"
        for path in self.folder.rglob("*.tmp"):
            yield path, "left by a write that was cut off; safe to delete"

    @staticmethod
    def _files(folder: Path) -> Iterable[Path]:
        try:
            names = sorted(entry.name for entry in os.scandir(folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"not a store ({error.strerror})", where=str(folder.parent)) from None
        return [folder / name for name in names if name.endswith(".parquet") and not name.startswith(".")]


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            version = int((file.schema_arrow.metadata or {}).get(b"mousterian_schema_version", b"0"))
            if version > SCHEMA_VERSION:
                raise InputError(
                    f"written by a newer mousterian (schema {version}, this one knows {SCHEMA_VERSION})",
                    where=str(path),
                    hint="update mousterian",
                )
            table = file.read(columns=columns)
            return table if columns else table.cast(arrow_schema())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"not a readable trial file ({error})",
            where=str(path),
            hint="`mousterian store verify` lists such files; delete it and run the grid again",
        ) from error
