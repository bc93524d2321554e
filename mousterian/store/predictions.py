"""Side files of rows: the predicted class of each test image, one file a trial.

`predictions/TRIAL.parquet` has a row for each evaluation of the trial that predicts classes; the true classes
of a test set, which many trials share, are in `predictions/test-sets/DIGEST.parquet`. With them, metrics that
were not thought of when a trial ran are computed later (`metrics.py`), and trials compared image by image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.store import parquet

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_KEYS = ("evaluation", "evaluation_options", "evaluation_set", "test_set")


class Predictions(NamedTuple):
    """Predicted and true classes of N test images, (N,) int64, in the order of the test set.

    `groups`, (N,), are what images are of, such as patients; None where these are independent.
    """

    predicted: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: NDArray[Any] | None = None


class CorrectImages(NamedTuple):
    """Which images of one test set the trials of R rows classified correctly.

    `known`: the rows that have a side file of it, (R,) bool; `correct`: theirs, (K, N) bool; `groups`: the
    number of the group of each image, (N,), None where they have none.
    """

    known: NDArray[np.bool_]
    correct: NDArray[np.bool_]
    groups: NDArray[np.int64] | None


class PredictionFiles:
    """The side files of a store.

    Args:
        store: the store's folder.
    """

    def __init__(self, store: Path | str) -> None:
        self.folder = Path(store) / "predictions"

    def write(self, trial: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Save what a trial predicted; nothing where no row has predictions.

        Args:
            trial: its hash.
            rows: each with `evaluation`, `evaluation_options`, `evaluation_set`, `test_set` (what identifies
                the test images and their order) and `predictions`.

        Raises:
            InputError: the store cannot be written.
        """
        import pyarrow as pa

        if not rows:
            return
        for row in rows:
            file = self._test_set(row["test_set"])
            if not file.exists():
                _, labels, groups = row["predictions"]
                images = {"label": _smallest(labels)}
                if groups is not None:  # numbered: names of patients stay where they are
                    images["group"] = _smallest(np.unique(groups, return_inverse=True)[1])
                write_atomically(file, parquet.written(pa.table(images), compression="zstd"))
        columns: dict[str, Any] = {key: [row[key] for row in rows] for key in _KEYS}
        columns["predicted"] = [_smallest(row["predictions"].predicted) for row in rows]
        write_atomically(self._file(trial), parquet.written(pa.table(columns), compression="zstd"))

    def read(self, trial: str) -> dict[tuple[str, str, str], tuple[str, Predictions]]:
        """Return a trial's test sets and predictions by evaluation, evaluation_options and evaluation_set.

        Returns:
            Nothing for a trial without a side file, such as those of earlier code.

        Raises:
            InputError: a file cannot be read, or the labels of a test set are missing.
        """
        if not self._file(trial).exists():
            return {}
        found = {}
        for row in _read(self._file(trial)).to_pylist():
            labels = np.asarray(_read(self._test_set(row["test_set"]))["label"], dtype=np.int64)
            predicted = np.asarray(row["predicted"], dtype=np.int64)
            key = (row["evaluation"], row["evaluation_options"], row["evaluation_set"])
            found[key] = (row["test_set"], Predictions(predicted, labels))
        return found

    def correct(self, rows: pd.DataFrame) -> CorrectImages | None:
        """Return which test images each row's trial classified correctly; None where no row has a side file.

        Of several test sets, the one that most rows share. Files of other trials are not opened.

        Args:
            rows: of the store, one evaluation each.

        Raises:
            InputError: a file cannot be read, or the labels of the test set are missing.
        """
        keys = ["trial", *_KEYS[:3]]
        if not self.folder.is_dir() or not set(keys) <= set(rows):
            return None
        found = {}
        for row, (trial, *key) in enumerate(rows[keys].itertuples(index=False, name=None)):
            if self._file(trial).exists():
                saved = _read(self._file(trial))
                named = list(zip(*(saved[name].to_pylist() for name in _KEYS[:3]), strict=True))
                if tuple(key) in named:
                    at = named.index(tuple(key))
                    predicted = np.asarray(saved["predicted"][at].values)
                    found[row] = (saved["test_set"][at].as_py(), predicted)
        if not found:
            return None
        [(shared, _)] = Counter(test_set for test_set, _ in found.values()).most_common(1)
        images = _read(self._test_set(shared))
        groups = np.asarray(images["group"], dtype=np.int64) if "group" in images.column_names else None
        mine = {row: predicted for row, (test_set, predicted) in found.items() if test_set == shared}
        known = np.isin(np.arange(len(rows)), list(mine))
        return CorrectImages(known, np.stack(list(mine.values())) == np.asarray(images["label"]), groups)

    def copy(self, trials: Collection[str], store: Path) -> int:
        """Copy the side files of trials, and their test sets, to another store's folder; return how many."""
        there, copied = PredictionFiles(store), 0
        for trial in sorted(trials):
            if self._file(trial).exists():
                for test_set in set(_read(self._file(trial))["test_set"].to_pylist()):
                    write_atomically(there._test_set(test_set), self._test_set(test_set).read_bytes())
                write_atomically(there._file(trial), self._file(trial).read_bytes())
                copied += 1
        return copied

    def verify(self) -> Iterator[tuple[Path, str]]:
        """Yield each file that cannot be read, and what is wrong with it."""
        for path in sorted(self.folder.glob("**/*.parquet")):
            try:
                _read(path)
            except InputError as error:
                yield path, error.what

    def _file(self, trial: str) -> Path:
        return self.folder / f"{trial}.parquet"

    def _test_set(self, digest: str) -> Path:
        return self.folder / "test-sets" / f"{digest}.parquet"


def _smallest(classes: NDArray[np.int64]) -> NDArray[Any]:
    """Return classes in the smallest type that holds them."""
    return classes.astype(np.min_scalar_type(int(classes.max(initial=0))))


def _read(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    hint = "delete it: the trial's row stays, without predictions"
    try:
        with parquet.readable(path, "file of predictions", hint):
            return pq.read_table(path, partitioning=None)
    except FileNotFoundError as error:
        raise InputError("the labels of this test set are missing", where=str(path), hint=hint) from error
