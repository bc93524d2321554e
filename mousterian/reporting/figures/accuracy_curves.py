"""Accuracy against added images, real and synthetic, for each base size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mousterian.answers.measured import base_alone, base_sizes, real_added, synthetic_added
from mousterian.answers.numbers import number, percent
from mousterian.reporting.axes import accuracy_axis, count_axis, steps
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import INK, MUTED, PAPER, REAL, SYNTHETIC, legend, panels, style

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 1  # in a report
_COLUMNS = ["n_base", "added", "images", "source", "accuracy", "low", "high", "trials"]


class _Style(NamedTuple):
    colour: str
    line: Literal["-", ""] | tuple[float, tuple[float, ...]]
    marker: str


_LOOK = {"real": _Style(REAL, "-", "o"), "synthetic": _Style(SYNTHETIC, (0, (4, 1.6)), "s")}
_POINTS = 60


def draw(fit: Fit, *, most_panels: int = 6) -> Figure:
    """Draw accuracy against added images, one panel for each base size (mousterian paper, Fig. 3, 5, 7).

    Real additions are solid, synthetic ones dashed: the surface with its 95 % band, and the trials as points
    (mean over trials, bar from the lowest to the highest).

    Args:
        fit: the fit.
        most_panels: base sizes shown at most, evenly spaced.

    Raises:
        InputError: no trial has base images.
    """
    bases = base_sizes(fit, most=most_panels)
    parts = [_panel_data(fit, base) for base in bases]
    with style():
        canvas, axes, inches = panels(
            len(bases), x="Images added to the base set, and their ratio to it", y="Test accuracy (%)"
        )
        for axis, base, part in zip(axes, bases, parts, strict=True):
            _draw_panel(axis, base, part, inches=inches)
        legend(canvas, _legend(parts))
        svg = to_svg(canvas)
        places = spots(
            canvas, (mark for axis, part in zip(axes, parts, strict=True) for mark in _marks(axis, part))
        )
    data = pd.concat(parts, ignore_index=True)
    return Figure(svg, "Accuracy against added images", _caption(data), _alt(bases, data), data, places)


def _marks(axis: Axes, part: pd.DataFrame) -> Iterator[tuple[Axes, float, float, str]]:
    """Yield the place and the tooltip of each measured point."""
    for row in part[part["source"] != "surface"].to_dict("records"):
        what = "base alone" if row["added"] == "nothing" else f"{number(row['images'])} {row['added']} added"
        several = f", mean of {row['trials']} trials" if row["trials"] > 1 else ""
        aside = ", set aside" if row["source"] == "outlier" else ""
        said = f"{number(row['n_base'])} base images, {what}: {percent(row['accuracy'], 2)}{several}{aside}"
        yield axis, row["images"], row["accuracy"], said


def _panel_data(fit: Fit, n_base: float) -> pd.DataFrame:
    rows = [*_measured(fit.data, n_base)]
    for added, chosen in (("real", real_added), ("synthetic", synthetic_added)):
        trials = chosen(fit.data[~fit.data["outlier"]], n_base)
        if trials.empty:
            continue
        images = steps(trials["added"].to_list(), _POINTS)
        counts = (images, 0.0) if added == "real" else (0.0, images)
        found = fit.predict(n_base, *counts)
        rows += [
            (n_base, added, *values, 0)
            for values in zip(
                images, ["surface"] * _POINTS, found.estimate, found.low, found.high, strict=True
            )
        ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _measured(data: pd.DataFrame, n_base: float) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for added, chosen in (
        ("nothing", base_alone),
        ("real", real_added),
        ("synthetic", synthetic_added),
    ):
        for (outlier, images), cell in chosen(data, n_base).groupby(["outlier", "added"], sort=True):
            accuracy = cell["accuracy"]
            source = "outlier" if outlier else "trials"
            rows.append(
                (n_base, added, images, source, accuracy.mean(), accuracy.min(), accuracy.max(), len(cell))
            )
    return rows


def _draw_panel(axis: Axes, n_base: float, part: pd.DataFrame, *, inches: float) -> None:
    axis.set_title(f"{number(n_base)} base images")
    for added, look in _LOOK.items():
        line = part[(part["added"] == added) & (part["source"] == "surface")]
        axis.fill_between(
            line["images"], line["low"], line["high"], color=look.colour, alpha=0.18, linewidth=0
        )
        axis.plot(line["images"], line["accuracy"], color=look.colour, linestyle=look.line)
    for added, look in {**_LOOK, "nothing": _Style(INK, "", "D")}.items():
        points = part[(part["added"] == added) & (part["source"] == "trials")]
        axis.vlines(points["images"], points["low"], points["high"], color=look.colour, linewidth=1.1)
        axis.plot(points["images"], points["accuracy"], linestyle="", marker=look.marker, markersize=4.6,
                  color=look.colour, markeredgecolor=PAPER, markeredgewidth=0.7, zorder=3)  # fmt: skip
    odd = part[part["source"] == "outlier"]
    axis.plot(odd["images"], odd["accuracy"], linestyle="", marker="x", markersize=6, color=MUTED, zorder=3)
    accuracy_axis(axis.yaxis)
    measured = part.loc[part["source"] != "surface", "images"].to_list()
    count_axis(axis.xaxis, measured, inches=inches, unit=n_base)


def _legend(parts: list[pd.DataFrame]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], label=f"{added} images added", color=look.colour, linestyle=look.line,
               marker=look.marker, markersize=4.6, markeredgecolor=PAPER)
        for added, look in _LOOK.items()
        if any((part["added"] == added).any() for part in parts)
    ]  # fmt: skip
    handles.append(Line2D([], [], linestyle="", marker="D", markersize=4.6, color=INK, label="base alone"))
    handles.append(Patch(facecolor=MUTED, alpha=0.25, label="95 % band"))
    if any((part["source"] == "outlier").any() for part in parts):
        handles.append(Line2D([], [], linestyle="", marker="x", color=MUTED, label="set aside"))
    return handles


def _caption(data: pd.DataFrame) -> str:
    several = data["trials"].max() > 1
    points = (
        "means over trials, with bars from the lowest to the highest trial" if several else "single trials"
    )
    return (
        "Test accuracy as real images (solid) or synthetic images (dashed) are added to each base set. "
        f"Curves are the fitted surface with its 95 % band. Points are {points}. "
        "The axis of added images is linear near zero and logarithmic beyond."
    )


def _alt(bases: list[float], data: pd.DataFrame) -> str:
    found = []
    for base in bases:
        best = data[(data["n_base"] == base) & (data["source"] == "trials")]
        ends = [
            f"{percent(rows['accuracy'].iloc[-1])} with {number(rows['images'].iloc[-1])} {added} added"
            for added in _LOOK
            if len(rows := best[best["added"] == added])
        ]
        start = best.loc[best["added"] == "nothing", "accuracy"]
        alone = f"from {percent(start.iloc[0])} alone " if len(start) else ""
        found.append(f"{number(base)} base images: {alone}to {' and '.join(ends) or 'nothing more'}")
    return f"Line charts of test accuracy against added images. At {'; at '.join(found)}."
