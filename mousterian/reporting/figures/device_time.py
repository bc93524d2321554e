"""Device time per trial against the number of training images."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.ticker import FuncFormatter

from mousterian.answers.measured import kinds_added
from mousterian.answers.numbers import number
from mousterian.errors import InputError
from mousterian.fitting.columns import COUNTS
from mousterian.reporting.arm_trials import arm_rows
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import MIXTURES, PAPER, legend, sheet, style

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 9  # in a report


def draw(fit: Fit, *, store: str = "") -> Figure:
    """Draw the mean seconds of a cell's trials against the number of images in its mixture.

    Args:
        fit: of an arm of the store.
        store: folder of the store, which records device time.

    Raises:
        InputError: there is no store, or it has no device time.
    """
    rows = arm_rows(fit, store).drop_duplicates("trial")
    rows = rows[rows["seconds"] > 0]
    if rows.empty:
        raise InputError("the trials have no recorded device time")
    counts = list(COUNTS)
    cells = rows.groupby(counts, as_index=False).agg(seconds=("seconds", "mean"), trials=("seconds", "size"))
    data = cells.assign(images=cells[counts].sum(axis=1), added=kinds_added(cells))
    with style():
        canvas = sheet(2.9)
        axes = canvas.subplots()
        for added, (colour, marker) in MIXTURES.items():
            part = data[data["added"] == added]
            if len(part):
                label = "base alone" if added == "nothing" else f"{added} added"
                axes.plot(part["images"], part["seconds"], linestyle="", marker=marker, markersize=5,
                          color=colour, markeredgecolor=PAPER, markeredgewidth=0.6, label=label)  # fmt: skip
        axes.set(xscale="log", xlabel="Images in the mixture", ylabel="Seconds a trial")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        legend(canvas, axes.get_legend_handles_labels()[0], most=4)
        svg = to_svg(canvas)
        places = spots(canvas, ((axes, *_mark(row)) for row in data.to_dict("records")))
    total = float(rows["seconds"].sum())
    return Figure(svg, "Device time", _caption(total, len(rows)), _alt(data), data, places)


def _mark(row: dict[Hashable, Any]) -> tuple[float, float, str]:
    """Return the place and the tooltip of a cell."""
    added = f"{number(row['n_real_plus'])} real, {number(row['n_syn_plus'])} synthetic"
    took = f"{row['seconds']:.1f} s, mean of {row['trials']}"
    return row["images"], row["seconds"], f"{number(row['n_base'])} base, {added}: {took}"


def _caption(total: float, trials: int) -> str:
    return (
        f"Wall-clock seconds of one trial over the images that it trained on, a mark for each cell. The "
        f"{number(trials)} trials of this arm took {total / 3600:.2g} device hours; the pools took more."
    )


def _alt(data: pd.DataFrame) -> str:
    took = data["seconds"].to_numpy()
    least, most = data.iloc[int(took.argmin())], data.iloc[int(took.argmax())]
    return (
        f"Seconds a trial, from {least['seconds']:.1f} with {number(least['images'])} images to "
        f"{most['seconds']:.1f} with {number(most['images'])}."
    )
