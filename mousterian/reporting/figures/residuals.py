"""Residuals against fitted accuracy, and their normal quantile plot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.stats import norm

from mousterian.answers.measured import kinds_added
from mousterian.answers.numbers import number, percent, signed
from mousterian.errors import InputError
from mousterian.reporting.axes import accuracy_axis
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import INK, MIXTURES, MUTED, PAPER, SERIES, legend, pair, style

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 8  # in a report
_COLUMNS = ["n_base", "n_real_plus", "n_syn_plus", "added", "fitted", "residual", "expected", "outlier"]
_DOTS: dict[str, Any] = {"linestyle": "", "markeredgecolor": PAPER, "markeredgewidth": 0.5}


def draw(fit: Fit) -> Figure:
    """Draw the residuals against the fitted accuracy, and against theoretical normal quantiles.

    Args:
        fit: the fit.

    Raises:
        InputError: there are fewer than three rows.
    """
    data = _data(fit)
    kept = data[~data["outlier"]]
    if len(kept) < 3:
        raise InputError("fewer than three rows: too few for a residual plot")
    with style():
        canvas, (left, right), _ = pair(3.2, shares=(3, 2))
        _draw_residuals(left, data)
        _draw_calibration(right, kept)
        legend(canvas, _legend(data))
        svg = to_svg(canvas)
        places = spots(canvas, _marks(left, data))
    return Figure(svg, "Residuals and their calibration", _caption(), _alt(kept), data, places)


def _data(fit: Fit) -> pd.DataFrame:
    rows = fit.data
    data = rows.assign(added=kinds_added(rows), expected=np.nan)
    kept = data.index[~data["outlier"]]
    order = data.loc[kept, "residual"].rank(method="first")
    spread = float(np.sqrt(np.mean(data.loc[kept, "residual"] ** 2))) if len(kept) else 0.0
    data.loc[kept, "expected"] = spread * norm.ppf((order - 0.5) / max(len(kept), 1))
    return data[_COLUMNS].reset_index(drop=True)


def _draw_residuals(axes: Axes, data: pd.DataFrame) -> None:
    axes.axhline(0, color=INK, linewidth=0.9)
    for added, (colour, marker) in MIXTURES.items():
        part = data[(data["added"] == added) & ~data["outlier"]]
        axes.plot(
            part["fitted"], 100 * part["residual"], marker=marker, markersize=4.4, color=colour, **_DOTS
        )
    odd = data[data["outlier"]]
    reach = 1.3 * 100 * float(data.loc[~data["outlier"], "residual"].abs().max()) or 1.0
    shown = (100 * odd["residual"]).clip(-reach, reach)
    axes.plot(odd["fitted"], shown, linestyle="", marker="x", markersize=6, color=MUTED)
    axes.set_ylim(-1.08 * reach, 1.08 * reach)
    accuracy_axis(axes.xaxis)
    axes.set(xlabel="Fitted accuracy (%)", ylabel="Residual (percentage points)")


def _draw_calibration(axes: Axes, kept: pd.DataFrame) -> None:
    expected, found = 100 * kept["expected"], 100 * kept["residual"]
    reach = 1.08 * float(max(expected.abs().max(), found.abs().max()))
    axes.plot([-reach, reach], [-reach, reach], color=INK, linewidth=1.0, linestyle=(0, (5, 3)))
    axes.plot(expected, found, marker="o", markersize=3.8, color=SERIES[2], **_DOTS)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set(xlabel="If they were normal (points)", ylabel="Residual (points)")


def _marks(axes: Axes, data: pd.DataFrame) -> Iterator[tuple[Axes, float, float, str]]:
    for row in data.to_dict("records"):
        added = f"{number(row['n_real_plus'])} real, {number(row['n_syn_plus'])} synthetic"
        off = f"fitted {percent(row['fitted'], 2)}, off by {signed(100 * row['residual'])} points"
        yield axes, row["fitted"], 100 * row["residual"], f"{number(row['n_base'])} base, {added}: {off}"


def _legend(data: pd.DataFrame) -> list[Line2D]:
    words = {
        "nothing": "base alone",
        "real": "real added",
        "synthetic": "synthetic added",
        "both": "both added",
    }
    handles = [
        Line2D([], [], linestyle="", marker=marker, markersize=4.6, color=colour, label=words[added])
        for added, (colour, marker) in MIXTURES.items()
        if ((data["added"] == added) & ~data["outlier"]).any()
    ]
    if data["outlier"].any():
        handles.append(Line2D([], [], linestyle="", marker="x", color=MUTED, label="set aside"))
    return handles


def _caption() -> str:
    return (
        "Left, how far each trial lies from the averaged surface: a pattern here is something that the "
        "formulas miss. A trial set aside that lies farther is drawn at the frame. Right, the same residuals "
        "in order, against those of a normal distribution of the same spread: on the dashed line, intervals "
        "made of this spread hold."
    )


def _alt(kept: pd.DataFrame) -> str:
    spread = signed(100 * float(np.sqrt(np.mean(kept["residual"] ** 2))))
    worst = kept.iloc[int(kept["residual"].abs().to_numpy().argmax())]
    return (
        f"Residuals of {len(kept)} trials, typically {spread} percentage points off the surface; the "
        f"farthest, at {number(worst['n_base'])} base, {number(worst['n_real_plus'])} real and "
        f"{number(worst['n_syn_plus'])} synthetic images, is off by {signed(100 * worst['residual'])}."
    )
