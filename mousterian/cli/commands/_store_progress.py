"""A grid's progress and the fits of its finished trials, as `mousterian watch` shows them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mousterian.answers.answerable import refusal
from mousterian.answers.equivalence import Equivalence, equivalence
from mousterian.answers.measured import typical_question
from mousterian.errors import InputError
from mousterian.fitting.arms import arms
from mousterian.fitting.estimation import fit
from mousterian.fitting.result import Fit
from mousterian.store.rows import Store
from mousterian.store.schema import STATUSES

REAL_ONLY = "real images only"
# Bootstrap draws of an interim answer; `mousterian fit` takes more.
DRAWS = 100
# The fractions of an arm's trials, in the order in which they finished, with an interim answer.
_FRACTIONS = (0.25, 0.5, 0.75)
_ANSWERS_SHOWN = 6


@dataclass
class Snapshot:
    """A store at one moment, with the fits so far, which the next snapshot reuses.

    Attributes:
        rows: rows of all trials, or of those of the grid.
        planned: numbers of the grid's trials by source of synthetic images and base size; empty: no file.
        status: status of every trial in the store, by hash.
        fits: fits (or why there is none) by arm and number of trials.
    """

    rows: pd.DataFrame
    planned: Mapping[tuple[str, int], int]
    status: Mapping[str, str]
    fits: dict[tuple[str, int], Fit | str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every trial of the grid has ended."""
        return bool(self.planned) and self.rows["trial"].nunique() >= sum(self.planned.values())


def snapshots(
    store: Store, trials: Mapping[str, tuple[str, int]] | None, seconds: float, once: bool
) -> Iterator[Snapshot]:
    """Yield a snapshot of these trials, or of all, whenever the store has changed, until all have ended."""
    planned = Counter((trials or {}).values())
    last: Snapshot | None = None
    while True:
        status = {k: v for k, v in store.status().items() if trials is None or k in trials}
        if last is None or status != last.status:
            fits = last.fits if last else {}
            rows = store.read() if status or once else pd.DataFrame({"trial": [], "status": []})
            rows = rows[rows["trial"].isin(list(status))]
            last = Snapshot(rows, planned, status, fits)
            yield last
        if once or last.complete:
            return
        time.sleep(seconds)


def trials_of(file: Path, data_dir: Path | None) -> dict[str, tuple[str, int]]:
    """Return the source of synthetic images and the base size of each trial of a grid file, by hash.

    Raises:
        InputError: the grid file cannot be read.
    """
    from mousterian.trials import grid

    found = {}
    for trial in grid.read(file, None, data_dir)[0]:
        generator = trial.generator
        source = _source(generator.name, generator.trained_on) if generator else REAL_ONLY
        found[trial.key] = (source, int(trial.n_base))
    return found


def _source(generator: str, trained_on: str) -> str:
    return f"{generator} {trained_on}" if generator else REAL_ONLY


def progress(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the ended and planned trials of each source of synthetic images and base size."""
    rows = snapshot.rows.drop_duplicates("trial")
    ended: dict[tuple[str, int], list[str]] = {}
    for row in rows.to_dict("records"):
        key = (_source(row["generator"], row["trained_on"]), int(row["n_base"]))
        ended.setdefault(key, []).append(row["status"])
    return [
        {
            "added": key[0],
            "n_base": key[1],
            **{status: ended.get(key, []).count(status) for status in STATUSES},
            "planned": snapshot.planned.get(key),
        }
        for key in sorted({*ended, *snapshot.planned})
    ]


def answers_so_far(snapshot: Snapshot) -> Iterator[tuple[str, Fit | str, list[tuple[int, Equivalence]]]]:
    """Yield each arm: name, fit (or why there is none), and its answers after fewer and after all trials."""
    if not len(snapshot.rows):
        return
    for name, (labels, rows) in arms(snapshot.rows).items():
        earlier = sorted(size for arm, size in snapshot.fits if arm == name and size < len(rows))
        current = _fitted(snapshot, name, labels, rows)
        refused = None if isinstance(current, str) else refusal(current)
        if isinstance(current, str) or refused:
            yield name, refused.what if refused else current, []
            continue
        point = typical_question(current)
        in_order = rows.sort_values(["finished_at", "trial"], kind="stable")
        # The sizes of earlier snapshots; at the first one, fractions of the trials in the order of finishing.
        sizes = [*(earlier or (int(share * len(rows)) for share in _FRACTIONS)), len(rows)][-_ANSWERS_SHOWN:]
        history = []
        for size in sizes:
            then = _fitted(snapshot, name, labels, in_order.head(size))
            if isinstance(then, Fit) and not refusal(then):
                history.append((size, equivalence(then, n_base=point[0], n_real_plus=point[1])))
        yield name, current, history


def _fitted(snapshot: Snapshot, name: str, labels: Mapping[str, str], rows: pd.DataFrame) -> Fit | str:
    """Return the fit of an arm's first rows, made only once, or why they cannot be fitted."""
    key = (name, len(rows))
    if key not in snapshot.fits:
        try:
            snapshot.fits[key] = fit(rows, bootstrap=DRAWS, name=name, labels=labels)
        except InputError as error:
            snapshot.fits[key] = error.what
    return snapshot.fits[key]
