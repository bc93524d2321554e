"""`mousterian watch`."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mousterian.cli.commands import STORE
from mousterian.cli.console import console, table
from mousterian.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from mousterian.answers.equivalence import Equivalence
    from mousterian.cli.commands._store_progress import Watched
    from mousterian.fitting.result import Fit


def watch(
    file: Path | None = None,
    *,
    store: Path = STORE,
    seconds: float = 5,
    once: bool = False,
    data_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Show live how far a grid is, its curves, and what the answer and its interval are so far.

    It only reads: a grid may run at the same time, here or on any machine that shares the store's folder.
    Ctrl-C ends it, and with a grid file the grid's last trial.

    Parameters
    ----------
    file
        The grid file, to know how many trials there will be; without it, all trials of the store.
    store
        Folder of the store.
    seconds
        Time between two looks.
    once
        Show it once and end.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print one line of JSON each time that something has changed.
    """

    request = WatchArguments(store, file, data_dir)
    return _watch(request, seconds=seconds, once=once, as_json=json)


_COLUMNS, _ROWS = 44, 7
_EMPTY = "no trial is finished yet"


@dataclass(frozen=True)
class WatchArguments:
    """What to watch: a store, and the grid file that says how many trials there will be, if it is known."""

    store: Path
    file: Path | None = None
    data_dir: Path | None = None


def _watch(request: WatchArguments, *, seconds: float, once: bool, as_json: bool) -> int:
    """Show a store again whenever it has changed, until its grid is done or Ctrl-C is pressed.

    Args:
        request: what to watch.
        seconds: between looks; a look at a store that has not changed reads no file.
        once: show it once.
        as_json: one line of JSON for each look that finds something new.

    Raises:
        InputError: the store or the grid file cannot be read; no store, if once.
    """
    from mousterian.cli.commands._store_progress import looks, trials_of
    from mousterian.store.rows import Store

    if seconds <= 0:
        raise InputError(f"{seconds:g} seconds between looks; more than 0", where="--seconds")
    out = console()
    trials = trials_of(request.file, request.data_dir) if request.file else None
    lively = out.is_terminal and not as_json and not once
    try:
        with Live(console=out, auto_refresh=False) if lively else nullcontext() as live:
            for seen in looks(Store(request.store), trials, seconds, once):
                if as_json:
                    print(json.dumps(_told(seen), ensure_ascii=False), flush=True)
                elif live:
                    live.update(_page(seen), refresh=True)
                else:
                    _print(out, seen)
    except KeyboardInterrupt:
        return 0
    return 0


def _print(out: Console, seen: Watched) -> None:
    out.print(_page(seen), highlight=False)


def _told(seen: Watched) -> dict[str, Any]:
    """Return what `mousterian watch --json` prints."""
    from mousterian.cli.commands._store_progress import answers_so_far, progress

    return {
        "trials": len(seen.status),
        "planned": sum(seen.planned.values()) or None,
        "progress": progress(seen),
        "arms": [
            {"name": name, "so_far": [{"trials": count, **found.to_json()} for count, found in history]}
            for name, _, history in answers_so_far(seen)
        ],
    }


def _page(seen: Watched) -> RenderableType:
    """Return all that is shown: the count, a table of what is there, and each arm."""
    from mousterian.answers.measured import typical_question
    from mousterian.cli.commands._store_progress import answers_so_far

    parts: list[RenderableType] = [Text(_headline(seen), style="bold")]
    if len(seen.rows):
        parts.append(_counts(seen))
    for name, current, history in answers_so_far(seen):
        parts.append(Text(f"\n{name}", style="bold"))
        if isinstance(current, str):
            parts.append(Text(f"no answer yet: {current}"))
            continue
        parts.append(Text(_plot(current, typical_question(current)[0])))
        parts += [Text(line) for line in _so_far(current, history)]
    return Group(*parts)


def _counts(seen: Watched) -> Table:
    from mousterian.cli.commands._store_progress import progress

    rows = _by_base(progress(seen))
    return table("", rows, keep=tuple(rows[0]))


def _by_base(counted: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the counts with a row for each source and a column for each base size."""
    from mousterian.answers.numbers import number
    from mousterian.store.schema import DIVERGED, DONE, FAILED

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
    from mousterian.answers.numbers import number

    planned = sum(seen.planned.values())
    of = f" of {number(planned)}" if planned else ""
    if not len(seen.rows):
        return f"0{of} trials: {_EMPTY}" if planned else _EMPTY
    return f"{number(len(seen.status))}{of} trials; the last ended {seen.rows['finished_at'].max()}"


def _so_far(current: Fit, history: list[tuple[int, Equivalence]]) -> list[str]:
    """Return the answer as a sentence, and how its interval came to be as narrow as it is."""
    import numpy as np

    from mousterian.answers.measured import typical_question
    from mousterian.answers.numbers import counts, number
    from mousterian.answers.wording import answer
    from mousterian.fitting.interval import Interval

    lines = [answer(current, *typical_question(current)).text]
    for trials, found in history:
        worth = found.n_syn_plus
        if not isinstance(worth, Interval):
            said = "no number of synthetic images reaches it"
        else:
            apart = worth.high / worth.low if worth.low > 0 else np.inf
            said = counts(worth) + (f", ends a factor {apart:.1f} apart" if np.isfinite(apart) else "")
        lines.append(f"  after {number(trials):>6} trials: {said}")
    return lines


def _plot(made: Fit, n_base: float) -> str:
    """Return accuracy against images added to a base as text: o real ones, s synthetic ones, * both."""
    import numpy as np
    import pandas as pd

    from mousterian.answers.measured import real_added, synthetic_added
    from mousterian.answers.numbers import number, percent
    from mousterian.fitting.table import COUNTS

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
