"""What `mousterian watch` shows of a store while trials come in: progress, curves and the answer so far."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mousterian.console import console, table
from mousterian.equivalence import Equivalence, Fit, equivalence, fit
from mousterian.errors import InputError
from mousterian.figures._rows import real_added, synthetic_added, typical
from mousterian.fitting.arms import arms
from mousterian.fitting.interval import Interval
from mousterian.fitting.table import COUNTS
from mousterian.store import DIVERGED, DONE, FAILED, STATUSES, Store
from mousterian.wording import answer, compares, counts, number, percent

REAL_ONLY = "real images only"
# Draws of a passing answer; `mousterian fit` takes more.
DRAWS = 100
# Shares of an arm's trials, in the order they finished, at which its answer is looked back at.
_LOOKED_BACK = (0.25, 0.5, 0.75)
_SHOWN = 6
_COLUMNS, _ROWS = 44, 7
_EMPTY = "no trial is finished yet"


@dataclass(frozen=True)
class Request:
    """What to watch: a store, and the grid file that says how many trials there will be, if it is known."""

    store: Path
    file: Path | None = None
    data_dir: Path | None = None


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


def watch(request: Request, *, seconds: float, once: bool, as_json: bool) -> int:
    """Show a store again whenever it has changed, until its grid is done or Ctrl-C is pressed.

    Args:
        request: what to watch.
        seconds: between looks; a look at a store that has not changed reads no file.
        once: show it once.
        as_json: one line of JSON for each look that finds something new.

    Raises:
        InputError: the store or the grid file cannot be read; no store, if once.
    """
    if seconds <= 0:
        raise InputError(f"{seconds:g} seconds between looks; more than 0", where="--seconds")
    out = console()
    trials = trials_of(request.file, request.data_dir) if request.file else None
    lively = out.is_terminal and not as_json and not once
    try:
        with Live(console=out, auto_refresh=False) if lively else nullcontext() as live:
            for seen in _looks(Store(request.store), trials, seconds, once):
                if as_json:
                    print(json.dumps(_told(seen), ensure_ascii=False), flush=True)  # noqa: T201
                elif live:
                    live.update(_page(seen), refresh=True)
                else:
                    _print(out, seen)
    except KeyboardInterrupt:
        return 0
    return 0


def _print(out: Console, seen: Watched) -> None:
    out.print(_page(seen), highlight=False)


def _looks(
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
    from mousterian import grid

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


def _told(seen: Watched) -> dict[str, Any]:
    """Return what `mousterian watch --json` prints."""
    return {
        "trials": len(seen.status),
        "planned": sum(seen.planned.values()) or None,
        "progress": progress(seen),
        "arms": [
            {"name": name, "so_far": [{"trials": count, **found.to_json()} for count, found in history]}
            for name, _, history in _answers(seen)
        ],
    }


def _page(seen: Watched) -> RenderableType:
    """Return all that is shown: the count, a table of what is there, and each arm."""
    parts: list[RenderableType] = [Text(_headline(seen), style="bold")]
    if len(seen.rows):
        parts.append(_counts(seen))
    for name, current, history in _answers(seen):
        parts.append(Text(f"\n{name}", style="bold"))
        if isinstance(current, str):
            parts.append(Text(f"no answer yet: {current}"))
            continue
        parts.append(Text(plot(current, typical(current)[0])))
        parts += [Text(line) for line in _so_far(current, history)]
    return Group(*parts)


def _counts(seen: Watched) -> Table:
    rows = _by_base(progress(seen))
    return table("", rows, keep=tuple(rows[0]))


def _by_base(counted: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the counts with a row for each source and a column for each base size."""
    found: dict[str, dict[str, str]] = {}
    columns = {each["n_base"]: f"n_base {number(each['n_base'])}" for each in counted}
    empty = {name: "" for _, name in sorted(columns.items())}
    for each in counted:
        of = f" of {each['planned']}" if each["planned"] else ""
        ill = "".join(f", {each[status]} {status}" for status in (DIVERGED, FAILED) if each[status])
        row = found.setdefault(each["added"], {"added": each["added"], **empty})
        row[columns[each["n_base"]]] = f"{each[DONE]}{of}{ill}"
    return list(found.values())


def _headline(seen: Watched) -> str:
    planned = sum(seen.planned.values())
    of = f" of {number(planned)}" if planned else ""
    if not len(seen.rows):
        return f"0{of} trials: {_EMPTY}" if planned else _EMPTY
    return f"{number(len(seen.status))}{of} trials; the last ended {seen.rows['finished_at'].max()}"


def _answers(seen: Watched) -> Iterator[tuple[str, Fit | str, list[tuple[int, Equivalence]]]]:
    """Yield each arm: name, fit (or why there is none), and the answers after fewer trials and after all."""
    if not len(seen.rows):
        return
    for name, (labels, rows) in arms(seen.rows).items():
        earlier = sorted(size for arm, size in seen.fits if arm == name and size < len(rows))
        current = _fitted(seen, name, labels, rows)
        if isinstance(current, str) or not compares(current.data):
            yield name, current if isinstance(current, str) else "no synthetic images so far", []
            continue
        point = typical(current)
        in_order = rows.sort_values(["finished_at", "trial"], kind="stable")
        # What earlier looks have fitted; at the first one, the trials in the order in which they finished.
        sizes = [*(earlier or (int(share * len(rows)) for share in _LOOKED_BACK)), len(rows)][-_SHOWN:]
        history = []
        for size in sizes:
            then = _fitted(seen, name, labels, in_order.head(size))
            if isinstance(then, Fit) and compares(then.data):
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


def _so_far(current: Fit, history: list[tuple[int, Equivalence]]) -> list[str]:
    """Return the answer as a sentence, and how its interval came to be as narrow as it is."""
    lines = [answer(current, *typical(current)).text]
    for trials, found in history:
        worth = found.n_syn_plus
        if not isinstance(worth, Interval):
            said = "no number of synthetic images reaches it"
        else:
            apart = worth.high / worth.low if worth.low > 0 else np.inf
            said = counts(worth) + (f", ends a factor {apart:.1f} apart" if np.isfinite(apart) else "")
        lines.append(f"  after {number(trials):>6} trials: {said}")
    return lines


def plot(made: Fit, n_base: float) -> str:
    """Return accuracy against images added to a base as text: o real ones, s synthetic ones, * both."""
    data = made.data[~made.data["outlier"]]
    marks = {"o": _means(real_added(data, n_base)), "s": _means(synthetic_added(data, n_base))}
    alone = data[(data["n_base"] == n_base) & (data[list(COUNTS[1:])].sum(axis=1) == 0)]["accuracy"]
    start = pd.Series({0.0: alone.mean()}) if len(alone) else pd.Series(dtype=float)
    every = pd.concat([start, *marks.values()])
    low, high = float(every.min()), float(every.max())
    places = np.unique(every.index.to_numpy(dtype=float))
    grid = [[" "] * _COLUMNS for _ in range(_ROWS)]
    for mark, means in {"o": pd.concat([start, marks["o"]]), "s": marks["s"]}.items():
        for added, accuracy in means.items():
            column = int(np.searchsorted(places, float(added)) * (_COLUMNS - 1) / max(len(places) - 1, 1))
            row = round((high - accuracy) / max(high - low, 1e-9) * (_ROWS - 1))
            grid[row][column] = mark if grid[row][column] in {" ", mark} else "*"
    edge = {0: percent(high), _ROWS - 1: percent(low)}
    lines = [f"{edge.get(row, ''):>8} │{''.join(cells).rstrip()}" for row, cells in enumerate(grid)]
    axis = f"{'':>8} └{'─' * _COLUMNS}\n{'':>10}0 to {number(float(places[-1]))} images added to"
    return (
        "\n".join(lines) + f"\n{axis} {number(n_base)} (o real, s synthetic; measured amounts, evenly spaced)"
    )


def _means(rows: pd.DataFrame) -> pd.Series[Any]:
    return rows.groupby("added")["accuracy"].mean()
