"""`mousterian watch`: the progress of a grid and its answer so far."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.commands import EXIT_DONE, STORE
from mousterian.cli.console import console, table
from mousterian.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType
    from rich.table import Table

    from mousterian.answers.equivalence import Equivalence
    from mousterian.cli.commands._store_progress import Snapshot
    from mousterian.fitting.result import Fit

_COLUMNS, _ROWS = 44, 7
_EMPTY = "no trial is finished yet"


def watch(
    file: Path | None = None,
    *,
    store: Path = STORE,
    seconds: float = 5,
    once: bool = False,
    data_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Show the progress of a grid live, with its curves and the answer and its interval so far.

    It only reads: a grid may run at the same time, here or on any machine that shares the store's folder.
    It ends on Ctrl-C or, with a grid file, after the grid's last trial.

    Parameters
    ----------
    file
        The grid file, for the number of planned trials; without it, all trials of the store.
    store
        Folder of the store.
    seconds
        Seconds between two readings of the store; it is only read if it has changed.
    once
        Show the current state and exit.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print one line of JSON at each change.
    """
    import json as json_module

    from rich.live import Live

    from mousterian.cli.commands._store_progress import snapshots, trials_of
    from mousterian.store.rows import Store

    if seconds <= 0:
        raise InputError(f"must be more than 0, not {seconds:g}", where="--seconds")
    out = console()
    trials = trials_of(file, data_dir) if file else None
    is_live = out.is_terminal and not json and not once
    screen = Live(console=out, auto_refresh=False) if is_live else nullcontext()
    with suppress(KeyboardInterrupt), screen as live:  # Ctrl-C is the usual way to end it
        for snapshot in snapshots(Store(store), trials, seconds, once):
            if json:
                print(json_module.dumps(_described(snapshot), ensure_ascii=False), flush=True)
            elif live:
                live.update(_page(snapshot), refresh=True)
            else:
                out.print(_page(snapshot), highlight=False)
    return EXIT_DONE


def _described(snapshot: Snapshot) -> dict[str, Any]:
    """Return what --json prints."""
    from mousterian.cli.commands._store_progress import answers_so_far, progress

    return {
        "trials": len(snapshot.status),
        "planned": sum(snapshot.planned.values()) or None,
        "progress": progress(snapshot),
        "arms": [
            {"name": name, "so_far": [{"trials": count, **found.to_json()} for count, found in history]}
            for name, _, history in answers_so_far(snapshot)
        ],
    }


def _page(snapshot: Snapshot) -> RenderableType:
    """Return all that is shown: the number of trials, a table of them, and each arm."""
    from rich.console import Group
    from rich.text import Text

    from mousterian.answers.measured import typical_question
    from mousterian.cli.commands._store_progress import answers_so_far

    parts: list[RenderableType] = [Text(_headline(snapshot), style="bold")]
    if len(snapshot.rows):
        parts.append(_counts(snapshot))
    for name, current, history in answers_so_far(snapshot):
        parts.append(Text(f"\n{name}", style="bold"))
        if isinstance(current, str):
            parts.append(Text(f"no answer yet: {current}"))
            continue
        parts.append(Text(_plot(current, typical_question(current)[0])))
        parts += [Text(line) for line in _so_far(current, history)]
    return Group(*parts)


def _counts(snapshot: Snapshot) -> Table:
    from mousterian.cli.commands._store_progress import progress

    rows = _by_base(progress(snapshot))
    return table("", rows, keep=tuple(rows[0]))


def _by_base(counted: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the counts with a row for each source of synthetic images and a column for each base size."""
    from mousterian.answers.numbers import number
    from mousterian.store.schema import DIVERGED, DONE, FAILED

    found: dict[str, dict[str, str]] = {}
    columns = {each["n_base"]: f"n_base {number(each['n_base'])}" for each in counted}
    empty = {name: "" for _, name in sorted(columns.items())}
    for each in counted:
        of = f" of {each['planned']}" if each["planned"] else ""
        other = "".join(f", {each[status]} {status}" for status in (DIVERGED, FAILED) if each[status])
        row = found.setdefault(each["added"], {"added": each["added"], **empty})
        row[columns[each["n_base"]]] = f"{each[DONE]}{of}{other}"
    return list(found.values())


def _headline(snapshot: Snapshot) -> str:
    from mousterian.answers.numbers import number

    planned = sum(snapshot.planned.values())
    of = f" of {number(planned)}" if planned else ""
    if not len(snapshot.rows):
        return f"0{of} trials: {_EMPTY}" if planned else _EMPTY
    return f"{number(len(snapshot.status))}{of} trials; the last ended {snapshot.rows['finished_at'].max()}"


def _so_far(current: Fit, history: list[tuple[int, Equivalence]]) -> list[str]:
    """Return the answer as a sentence, and how its interval has narrowed."""
    import numpy as np

    from mousterian.answers.measured import typical_question
    from mousterian.answers.numbers import counts, number
    from mousterian.answers.wording import answer
    from mousterian.fitting.interval import Interval

    lines = [answer(current, *typical_question(current)).text]
    for trials, found in history:
        worth = found.n_syn_plus
        if not isinstance(worth, Interval):
            text = "no number of synthetic images reaches it"
        else:
            ratio = worth.high / worth.low if worth.low > 0 else np.inf
            text = counts(worth) + (f", interval spans {ratio:.1f}×" if np.isfinite(ratio) else "")
        lines.append(f"  after {number(trials):>6} trials: {text}")
    return lines


def _plot(made: Fit, n_base: float) -> str:
    """Plot accuracy against images added to a base as text: o real ones, s synthetic ones, * both."""
    import numpy as np
    import pandas as pd

    from mousterian.answers.measured import base_alone, real_added, synthetic_added
    from mousterian.answers.numbers import number, percent

    data = made.data[~made.data["outlier"]]
    real = _means(pd.concat([base_alone(data, n_base), real_added(data, n_base)]))
    synthetic = _means(synthetic_added(data, n_base))
    every = pd.concat([real, synthetic])
    low, high = float(every.min()), float(every.max())
    places = np.unique(every.index.to_numpy(dtype=float))
    grid = [[" "] * _COLUMNS for _ in range(_ROWS)]
    for mark, means in (("o", real), ("s", synthetic)):
        for added, accuracy in zip(means.index.to_numpy(dtype=float), means, strict=True):
            column = int(np.searchsorted(places, added) * (_COLUMNS - 1) / max(len(places) - 1, 1))
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
