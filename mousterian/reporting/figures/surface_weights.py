"""The surfaces' weights, and their cross-validation and back-test errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mousterian.answers.numbers import percent, signed
from mousterian.errors import InputError
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import INK, MUTED, PAPER, RULE, SERIES, legend, pair, style, wrapped

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit, SurfaceFit


PLACE = 7  # in a report
_COLUMNS = ["surface", "weight", "held_out", "largest_real", "largest_synthetic"]


class _Test(NamedTuple):
    column: str
    words: str
    marker: str
    colour: str


_TESTS = (
    _Test("held_out", "cells left out one at a time", "o", INK),
    _Test("largest_real", "the largest real sizes, from the rest", "s", SERIES[0]),
    _Test("largest_synthetic", "the largest synthetic amounts, from the rest", "^", SERIES[1]),
)


def draw(fit: Fit) -> Figure:
    """Draw each surface's weight and its errors at held-out rows (cross-validation and back-test).

    Args:
        fit: the fit.

    Raises:
        InputError: only one surface was fitted.
    """
    if len(fit.surfaces) < 2:
        raise InputError("only one surface was fitted, so there are no weights to show")
    data = pd.DataFrame([_row(each) for each in fit.surfaces], columns=_COLUMNS)
    with style():
        canvas, (left, right), inches = pair(0.95 + 0.27 * len(data), shares=(2, 3), sharey=True)
        _draw_weights(left, data)
        _draw_errors(right, data, inches=inches)
        handles = [
            Line2D(
                [], [], linestyle="", marker=test.marker, markersize=5, color=test.colour, label=test.words
            )
            for test in _TESTS
        ]
        legend(canvas, handles, most=3, fontsize=8)
        svg = to_svg(canvas)
        places = spots(canvas, [*_weight_marks(left, data), *_error_marks(right, data)])
    return Figure(svg, "Surfaces: weights and back-tests", _caption(), _alt(data), data, places)


def _row(surface: SurfaceFit) -> tuple[str, float, float, float, float]:
    return surface.name, surface.weight, surface.cv_rmse, *surface.extrapolation_error


def _draw_weights(axes: Axes, data: pd.DataFrame) -> None:
    places = np.arange(len(data))
    axes.barh(places, 100 * data["weight"], color=SERIES[0], height=0.62)
    axes.set_yticks(places, data["surface"].to_list())
    axes.set_ylim(len(data) - 0.5, -0.5)
    axes.set_xlabel("Weight in the average (%)")
    axes.set_xlim(0, 105 * max(float(data["weight"].max()), 0.1))
    axes.grid(visible=False, axis="y")


def _draw_errors(axes: Axes, data: pd.DataFrame, *, inches: float) -> None:
    tested = 100 * data[[test.column for test in _TESTS]]
    axes.hlines(np.arange(len(data)), 0, tested.max(axis=1), color=RULE, linewidth=0.8)
    for test in _TESTS:
        places = np.arange(len(data))
        axes.plot(100 * data[test.column], places, linestyle="", marker=test.marker, markersize=5,
                  color=test.colour, markeredgecolor=PAPER, markeredgewidth=0.6, zorder=3)  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_xlabel(wrapped("Root mean square error (percentage points)", inches=inches))
    axes.tick_params(axis="y", colors=MUTED, length=0)
    axes.grid(visible=False, axis="y")


def _weight_marks(axes: Axes, data: pd.DataFrame) -> list[tuple[Axes, float, float, str]]:
    return [
        (axes, 100 * weight, float(place), f"{name}: weight {percent(weight)}")
        for place, (name, weight) in enumerate(zip(data["surface"], data["weight"], strict=True))
    ]


def _error_marks(axes: Axes, data: pd.DataFrame) -> list[tuple[Axes, float, float, str]]:
    return [
        (axes, 100 * error, float(place), f"{name}: off {signed(100 * error)} points at {test.words}")
        for test in _TESTS
        for place, (name, error) in enumerate(zip(data["surface"], data[test.column], strict=True))
        if np.isfinite(error)
    ]


def _caption() -> str:
    return (
        "Left, how much each surface counts inside the measured range. Right, how far off it was at rows "
        "that it had not seen: single cells left out, and the largest real sizes and synthetic amounts told "
        "from the smaller ones. Beyond the measured range it is these last that decide who is heard. A "
        "surface without weight and with small errors is the referee, which has no formula."
    )


def _alt(data: pd.DataFrame) -> str:
    heavy = data[data["weight"] >= 0.05]
    said = ", ".join(f"{row['surface']} {percent(row['weight'], 0)}" for row in heavy.to_dict("records"))
    errors = data["held_out"].dropna()
    span = f"{signed(100 * errors.min())} to {signed(100 * errors.max())}" if len(errors) else "unknown"
    return (
        f"Bars of the surfaces' weights: {said or 'none above 5 %'}; beside them dots of their errors at "
        f"rows left out, from {span} percentage points at single cells."
    )
