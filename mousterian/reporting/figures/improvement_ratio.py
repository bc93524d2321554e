"""The improvement ratio against the ratio of added images, for each base size."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mousterian.answers.answerable import require_answer
from mousterian.answers.improvement_ratio import improvement_ratio
from mousterian.answers.measured import base_sizes, evenly
from mousterian.answers.numbers import number, ratios, signed, times
from mousterian.answers.wording import with_caveat
from mousterian.errors import InputError
from mousterian.fitting.interval import Interval
from mousterian.reporting.axes import log_ticks
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import INK, MUTED, PAPER, SERIES, legend, panels, style

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 4  # in a report
_COLOUR = SERIES[2]
# Marks points of a surface that were not measured.
_UNMEASURED: dict[str, Any] = {"linestyle": "", "marker": "D", "markersize": 4.4, "color": _COLOUR,
                               "markerfacecolor": PAPER}  # fmt: skip
# Limits of the ratio's axis.
_LOWEST, _HIGHEST = -1.0, 2.5


def draw(fit: Fit, *, most_panels: int = 6) -> Figure:
    """Draw the improvement ratio, Eq. 3, one panel for each base size (Fig. 6 of the mousterian paper).

    Args:
        fit: the fit.
        most_panels: base sizes shown at most, evenly spaced.

    Raises:
        InputError: no equivalence can be had from the fit's rows, or no ratio lies within the axis.
    """
    require_answer(fit)
    ratio = improvement_ratio(fit)
    ratio = ratio[np.isfinite(ratio["ratio"].astype(float))]
    # A base whose ratios all lie beyond the axis would be an empty frame.
    seen = set(ratio.loc[ratio["ratio"].between(_LOWEST, _HIGHEST), "n_base"])
    bases = evenly([base for base in base_sizes(fit, most=len(fit.data)) if base in seen], most_panels)
    data = ratio[ratio["n_base"].isin(bases)].reset_index(drop=True)
    if data.empty:
        raise InputError(
            "the fit has no improvement ratio to draw: real images change accuracy too little beside"
            f" synthetic ones (ratios from {_LOWEST:g} to {_HIGHEST:g} are drawn)"
        )
    with style():
        canvas, axes, inches = panels(
            len(bases), height=2.5, x="r: images added, for each base image", y="Improvement ratio"
        )
        for axis, base in zip(axes, bases, strict=True):
            _draw_panel(axis, base, data, inches=inches)
        axes[0].set_ylim(*_limits(data))
        legend(canvas, _legend(data), most=4)
        svg = to_svg(canvas)
        by_base = dict(zip(bases, axes, strict=True))
        places = spots(canvas, ((by_base[row["n_base"]], *_mark(row)) for row in data.to_dict("records")))
    caption = with_caveat(_caption(data), fit.conditional)
    return Figure(svg, "Improvement ratio", caption, _alt(bases, data), data, places)


def _mark(row: dict[Hashable, Any]) -> tuple[float, float, str]:
    """Return the place and the tooltip of a ratio."""
    ratio = ratios(Interval(row["ratio"], row["low"], row["high"]))
    said = f"{number(row['n_base'])} base images, {times(row['r'])} added: {ratio} by the {row['source']}"
    said += "" if row["basis"] == "measured" else f", {row['basis']}"
    return row["r"], row["ratio"], said


def _limits(data: pd.DataFrame) -> tuple[float, float]:
    surface = data[data["source"] == "surface"]
    shown = np.concatenate([data["ratio"], surface["low"], surface["high"], [0.0, 1.0]])
    shown = shown[np.isfinite(shown)]
    return max(float(shown.min()) - 0.1, _LOWEST), min(float(shown.max()) + 0.1, _HIGHEST)


def _draw_panel(axis: Axes, base: float, data: pd.DataFrame, *, inches: float) -> None:
    bottom, top = _limits(data)
    surface = data[data["source"] == "surface"]
    axis.set_title(f"{number(base)} base images")
    axis.set_xscale("log")
    axis.axhline(1.0, color=INK, linewidth=1.0, linestyle=(0, (5, 3)))
    for _, other in surface[surface["n_base"] != base].groupby("n_base"):
        axis.plot(other["r"], other["ratio"], color=MUTED, alpha=0.45, linewidth=1.0)
    line = surface[surface["n_base"] == base]
    axis.fill_between(line["r"], line["low"], line["high"], color=_COLOUR, alpha=0.2, linewidth=0)
    axis.plot(line["r"], line["ratio"], color=_COLOUR)
    guessed = line[line["basis"] != "measured"]
    axis.plot(guessed["r"], guessed["ratio"], **_UNMEASURED)
    points = data[(data["n_base"] == base) & (data["source"] == "trials")]
    known = np.isfinite(points["low"]) & np.isfinite(points["high"])
    bars = points[known]
    axis.vlines(
        bars["r"], bars["low"].clip(bottom, top), bars["high"].clip(bottom, top), color=INK, linewidth=1.0
    )
    for inside, marker in ((points["ratio"].between(bottom, top), "o"), (points["ratio"] > top, "^"),
                           (points["ratio"] < bottom, "v")):  # fmt: skip
        for filled in (True, False):
            part = points[inside & (known == filled)]
            if part.empty:
                continue
            axis.plot(part["r"], part["ratio"].clip(bottom, top), linestyle="", marker=marker, markersize=4.8,
                      markerfacecolor=INK if filled else PAPER, markeredgecolor=PAPER if filled else INK,
                      markeredgewidth=0.7 if filled else 1.0, zorder=3, clip_on=False)  # fmt: skip
    log_ticks(axis.xaxis, data["r"].to_numpy(), inches=inches)


def _legend(data: pd.DataFrame) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=_COLOUR, label="surface"),
        Patch(facecolor=_COLOUR, alpha=0.2, label="its 95 % band"),
    ]
    if (data["source"] == "trials").any():
        handles.append(Line2D([], [], linestyle="", marker="o", markersize=4.8, color=INK, label="trials"))
    if (data["basis"] != "measured").any():
        handles.append(Line2D([], [], **_UNMEASURED, label="not measured there"))
    if data["n_base"].nunique() > 1:
        handles.append(Line2D([], [], color=MUTED, alpha=0.45, linewidth=1.0, label="the other base sizes"))
    return handles


def _caption(data: pd.DataFrame) -> str:
    trials = data[data["source"] == "trials"]
    said = (
        "What adding r synthetic images for each base image gains in accuracy, over what adding as many real "
        "ones gains (Eq. 3). At 1 (dashed) a synthetic image is as good as a real one; at 0 it adds nothing."
    )
    if len(trials):
        said += " Dots are ratios of measured gains with 95 % intervals, cut off at the frame"
        vague = ~(np.isfinite(trials["low"]) & np.isfinite(trials["high"]))
        said += "; hollow where the real gain cannot be told from nothing." if vague.any() else "."
    guessed = data[data["basis"] != "measured"]
    if len(guessed):
        kinds = " and ".join(f"{n} {kind}" for kind, n in guessed["basis"].value_counts().items())
        said += f" Diamonds: both additions were not measured there, so the curve's form decides ({kinds})."
    return said


def _alt(bases: list[float], data: pd.DataFrame) -> str:
    surface = data[data["source"] == "surface"]
    said = []
    for base in bases:
        line = surface[surface["n_base"] == base]
        if len(line):
            ends = [f"{signed(row.ratio)} at {times(row.r)}" for row in (line.iloc[0], line.iloc[-1])]
            said.append(f"{number(base)} base images: {' and '.join(ends)}")
    return f"Improvement ratio against the ratio of added images, by the surface. At {'; at '.join(said)}."
