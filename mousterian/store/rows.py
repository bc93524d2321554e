"""The store of trials, in parquet. The only code that reads or writes trial files.

A store is a folder. `trials/` holds one file a trial, named `HASH.STATUS.parquet`, written under a
temporary name, fsynced and renamed, so that a file is whole or absent; `compact/` holds many trials per file.
A failed trial that later succeeds is replaced. `store.json` holds the schema version; `lock` keeps two grids
from running one trial at once. `pools/` belongs to the room `synthesis`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mousterian.errors import InputError
from mousterian.files import LockTakenError, file_lock, lock_position, write_atomically
from mousterian.store import parquet, schema, versions
from mousterian.store.parquet import rank
from mousterian.store.schema import DIVERGED, DONE, STATUSES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


T = TypeVar("T")
# Locks of the file `lock` that belong to no trial (a trial's is at half its hash, which is far above).
_IN_USE, _COMPACTION = 0, 1
_ATTEMPTS = 20  # to read a store that is being compacted


class Store:
    """The rows of many trials in one folder.

    Args:
        folder: the store's folder; made on the first write.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._version_checked = False

    @property
    def trials(self) -> Path:
        """Folder of the files that hold one trial each."""
        return self.folder / "trials"

    @property
    def compacted(self) -> Path:
        """Folder of the files that hold many trials each."""
        return self.folder / "compact"

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Save the rows (one per evaluation) of one trial.

        Raises:
            InputError: the store cannot be written, or was written by a newer mousterian.
        """
        self._check_version(writing=True)
        trial, status = rows[0]["trial"], rows[0]["status"]
        write_atomically(self._single(trial, status), parquet.content(rows))
        for worse in STATUSES[rank(status) + 1 :]:
            self._single(trial, worse).unlink(missing_ok=True)

    def write_many(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Save the rows of many trials, in one file."""
        self._check_version(writing=True)
        self._write_compacted(parquet.content(rows))

    def write_frame(self, frame: pd.DataFrame) -> None:
        """Save the rows of another store's data frame, in one file."""
        self._check_version(writing=True)
        self._write_compacted(parquet.frame_content(frame))

    def _single(self, trial: str, status: str) -> Path:
        return self.trials / f"{trial}.{status}.parquet"

    def _write_compacted(self, content: bytes) -> Path:
        import hashlib

        target = self.compacted / f"{hashlib.sha256(content).hexdigest()[:16]}.parquet"
        write_atomically(target, content)
        return target

    def status(self) -> dict[str, str]:
        """Return the status of every trial by its hash; single files are not opened, as their names hold it.

        Raises:
            InputError: a file cannot be read, or the store was written by a newer mousterian.
        """
        self._check_version()
        return self._unless_moved(self._status)

    def _status(self) -> dict[str, str]:
        # Single files first: files moved by a concurrent compaction are then seen twice, not never.
        listed = [tuple(path.name.split(".")[:2]) for path in self._files(self.trials)]
        for path in self._files(self.compacted):
            table = parquet.read(path, columns=["trial", "status"])
            listed += zip(table["trial"].to_pylist(), table["status"].to_pylist(), strict=True)
        found: dict[str, str] = {}
        for trial, status in listed:
            if trial not in found or rank(status) < rank(found[trial]):
                found[trial] = status
        return found

    def read(self) -> pd.DataFrame:
        """Return all rows as a data frame, one per trial and evaluation, in the order of trial hashes.

        Of a trial that is stored twice, the rows of the best status count (done, diverged, failed). Rows of
        older stores have code_revisions "1" and content_stamps "".

        Raises:
            InputError: there is no store, it is empty, a file in it cannot be read, or it was written by a
                newer mousterian.
        """
        self._check_version()
        frame = parquet.in_order(self._unless_moved(self._tables))
        for column, nothing in versions.COLUMNS.items():
            frame[column] = frame[column].fillna(nothing)
        return frame

    def _tables(self) -> pa.Table:
        singles = list(self._files(self.trials))  # first, as in _status
        paths = [*self._files(self.compacted), *singles]
        if not paths:
            raise InputError(
                "no trials here",
                where=str(self.folder),
                hint="run `mousterian grid FILE` first, or name the right --store",
            )
        return parquet.read_all(paths)

    def _unless_moved(self, read: Callable[[], T]) -> T:
        """Retry where a file was compacted or replaced between being listed and being read."""
        for _ in range(_ATTEMPTS):
            with suppress(FileNotFoundError):
                return read()
        raise InputError("its files keep changing", where=str(self.folder), hint="run the command again")

    def compact(self) -> int:
        """Join all files into one, safely if interrupted; return the number of single files joined."""
        self._check_version()
        if not self.folder.is_dir():
            return 0
        with file_lock(self.folder / "lock", _COMPACTION):
            singles = list(self._files(self.trials))
            olds = list(self._files(self.compacted))
            if not singles and len(olds) < 2:
                return 0
            target = self._write_compacted(parquet.frame_content(self.read()))
            for path in [*singles, *olds]:
                if path != target:
                    path.unlink(missing_ok=True)
            return len(singles)

    def holds(self, trial: str) -> bool:
        """Return whether a trial is done and not yet compacted; checks a file name only."""
        return self.outcome(trial) == DONE

    def outcome(self, trial: str) -> str:
        """Return the status, done or diverged, of a trial not yet compacted; else ""."""
        found = (status for status in (DONE, DIVERGED) if self._single(trial, status).exists())
        return next(found, "")

    @contextmanager
    def claimed(self, trial: str, *, wait: bool = True) -> Iterator[None]:
        """Claim a trial, so that no other process runs it, also on machines that share the folder.

        The kernel releases the claim when its holder dies. Without file locks (see `can_lock`), claims have
        no effect: two grids may then run a trial twice, and the store keeps one.

        Args:
            trial: its hash.
            wait: until the other holder releases it.

        Raises:
            LockTakenError: another process holds it, and `wait` is off.
            InputError: the store cannot be written.
        """
        with self.in_use(), file_lock(self._lock(), lock_position(trial), wait=wait):
            yield

    def in_use(self) -> AbstractContextManager[bool]:
        """Keep other processes from `clean` while something is being written."""
        return file_lock(self._lock(), _IN_USE, shared=True)

    def can_lock(self) -> bool:
        """Return whether the store's file system supports locks."""
        with self.in_use() as locked:
            return locked

    def clean(self) -> None:
        """Delete temporary files of interrupted writes, unless something is being written now."""
        with suppress(LockTakenError), file_lock(self._lock(), _IN_USE, wait=False) as locked:
            for path in self.folder.rglob("*.tmp") if locked else ():
                path.unlink(missing_ok=True)

    def _lock(self) -> Path:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the store ({error.strerror})", where=str(self.folder)) from error
        return self.folder / "lock"

    def verify(self) -> Iterator[tuple[Path, str]]:
        """Yield each corrupt file, and leftovers of interrupted writes, with what is wrong.

        Raises:
            InputError: there is no store.
        """
        if not self.folder.is_dir():
            raise InputError("there is no store here", where=str(self.folder))
        for path in [*self._files(self.compacted), *self._files(self.trials)]:
            try:
                table = parquet.read(path)
            except FileNotFoundError:  # moved by a compaction since it was listed
                continue
            except InputError as error:
                yield path, error.what
                continue
            if path.parent == self.trials:
                trial, status = path.name.split(".")[:2]
                inside = set(zip(table["trial"].to_pylist(), table["status"].to_pylist(), strict=True))
                if inside != {(trial, status)}:
                    yield path, f"holds {sorted(inside)}, unlike its name"
        for path in self.folder.rglob("*.tmp"):
            yield path, "left by an interrupted write; the next grid deletes it"

    def _check_version(self, *, writing: bool = False) -> None:
        """Refuse a store of a newer version; record the version before the first write."""
        if self._version_checked:
            return
        marker = self.folder / "store.json"
        try:
            version = json.loads(marker.read_text())["schema_version"]
        except (FileNotFoundError, NotADirectoryError):
            version = 0
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"cannot read the store's version ({error})", where=str(marker)) from error
        parquet.refuse_newer(version, marker)
        if writing and version < schema.SCHEMA_VERSION:
            write_atomically(marker, json.dumps({"schema_version": schema.SCHEMA_VERSION}).encode())
        self._version_checked = writing

    @staticmethod
    def _files(folder: Path) -> Iterable[Path]:
        try:
            names = sorted(entry.name for entry in os.scandir(folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"not a store ({error.strerror})", where=str(folder.parent)) from None
        return [folder / name for name in names if name.endswith(".parquet") and not name.startswith(".")]
