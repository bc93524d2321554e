"""What `mousterian watch` shows: a grid's progress, and the fits of what is finished so far."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mousterian.answers.equivalence import Equivalence, equivalence
from mousterian.answers.measured import has_synthetic, typical_question
from mousterian.errors import InputError
from mousterian.fitting.arms import arms
from mousterian.fitting.estimation import fit
from mousterian.fitting.result import Fit
from mousterian.store.rows import Store
from mousterian.store.schema import STATUSES

REAL_ONLY = "real images only"
# Draws of a passing answer; `mousterian fit` takes more.
DRAWS = 100
# Shares of an arm's trials, in the order they finished, at which its answer is looked back at.
_LOOKED_BACK = (0.25, 0.5, 0.75)
_SHOWN = 6


@dataclass
class Watched:
    """What is known of a store at one moment, and what it took to learn, for the next.

    Attributes:
        rows: of all trials, or of the grid's.
        planned: trials of the grid by source of synthetic images and base size; none if there is no file.
        status: of every trial in the store, by hash.
    """

    rows: pd.DataFrame
    planned: Mapping[tuple[str, int], int]
    status: Mapping[str, str]
    fits: dict[tuple[str, int], Fit | str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether every trial of the grid has come to an end."""
        return bool(self.planned) and self.rows["trial"].nunique() >= sum(self.planned.values())


def looks(
    store: Store, trials: Mapping[str, tuple[str, int]] | None, seconds: float, once: bool
) -> Iterator[Watched]:
    """Yield what there is of these trials, or of all, whenever it has changed; their end ends it."""
    planned = Counter((trials or {}).values())
    last: Watched | None = None
    while True:
        status = {k: v for k, v in store.status().items() if trials is None or k in trials}
        if last is None or status != last.status:
            fits = last.fits if last else {}
            rows = store.read() if status or once else pd.DataFrame({"trial": [], "status": []})
            rows = rows[rows["trial"].isin(list(status))]
            last = Watched(rows, planned, status, fits)
            yield last
        if once or last.over:
            return
        time.sleep(seconds)


def trials_of(file: Path, data_dir: Path | None) -> dict[str, tuple[str, int]]:
    """Return the source of synthetic images and the base size of a grid file's trials, by hash.

    Raises:
        InputError: the grid file cannot be read.
    """
    from mousterian.trials import grid

    found = {}
    for trial in grid.read(file, None, data_dir)[0]:
        made_by = trial.generator
        source = _source(made_by.name, made_by.trained_on) if made_by else REAL_ONLY
        found[trial.key] = (source, int(trial.n_base))
    return found


def _source(generator: str, trained_on: str) -> str:
    return f"{generator} {trained_on}" if generator else REAL_ONLY


def progress(seen: Watched) -> list[dict[str, Any]]:
    """Return for each source of synthetic images, and base size, how many trials there are of how many."""
    rows = seen.rows.drop_duplicates("trial")
    ended: dict[tuple[str, int], list[str]] = {}
    for row in rows.to_dict("records"):
        key = (_source(row["generator"], row["trained_on"]), int(row["n_base"]))
        ended.setdefault(key, []).append(row["status"])
    return [
        {
            "added": key[0],
            "n_base": key[1],
            **{status: ended.get(key, []).count(status) for status in STATUSES},
            "planned": seen.planned.get(key),
        }
        for key in sorted({*ended, *seen.planned})
    ]


def answers_so_far(seen: Watched) -> Iterator[tuple[str, Fit | str, list[tuple[int, Equivalence]]]]:
    """Yield each arm: name, fit (or why there is none), and the answers after fewer trials and after all."""
    if not len(seen.rows):
        return
    for name, (labels, rows) in arms(seen.rows).items():
        earlier = sorted(size for arm, size in seen.fits if arm == name and size < len(rows))
        current = _fitted(seen, name, labels, rows)
        if isinstance(current, str) or not has_synthetic(current.data):
            yield name, current if isinstance(current, str) else "no synthetic images so far", []
            continue
        point = typical_question(current)
        in_order = rows.sort_values(["finished_at", "trial"], kind="stable")
        # What earlier looks have fitted; at the first one, the trials in the order in which they finished.
        sizes = [*(earlier or (int(share * len(rows)) for share in _LOOKED_BACK)), len(rows)][-_SHOWN:]
        history = []
        for size in sizes:
            then = _fitted(seen, name, labels, in_order.head(size))
            if isinstance(then, Fit) and has_synthetic(then.data):
                history.append((size, equivalence(then, n_base=point[0], n_real_plus=point[1])))
        yield name, current, history


def _fitted(seen: Watched, name: str, labels: Mapping[str, str], rows: pd.DataFrame) -> Fit | str:
    """Return the fit of an arm's first rows, each made once; or why they cannot be fitted."""
    key = (name, len(rows))
    if key not in seen.fits:
        try:
            seen.fits[key] = fit(rows, bootstrap=DRAWS, name=name, labels=labels)
        except InputError as error:
            seen.fits[key] = error.what
    return seen.fits[key]
