"""A published equation compared with measurements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from mousterian.answers.answerable import require_answer
from mousterian.answers.audit import audit_equation, comparable, typical_factor
from mousterian.answers.numbers import number, rates
from mousterian.errors import InputError
from mousterian.fitting.interval import Interval
from mousterian.fitting.published.equations import EQUATIONS, equation
from mousterian.fitting.surface import Array
from mousterian.reporting.axes import log_ticks
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import INK, PAPER, SERIES, legend, sheet, style, wrapped

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 5  # in a report
_MARKERS = "osD^vPX*<>"
# Limit of the factor's axis in both directions.
_FARTHEST = 1e3


def draw(fit: Fit, *, against: str = "") -> Figure:
    """Draw how far a published equation is from the fit, at each mixture that was measured.

    Args:
        fit: the fit.
        against: eq1 or eq2 of the mousterian paper; by default the one derived from this table.

    Raises:
        InputError: no equation was derived from this table and none is named, or no mixture is comparable.
    """
    require_answer(fit)
    name = against or _own(fit)
    if not name:
        raise InputError(
            "no published equation was derived from this table", hint="name one with against=eq1"
        )
    source = equation(name).source
    data = audit_equation(fit, name)
    drawn = comparable(data)
    if drawn.empty:
        raise InputError("no mixture of this fit can be compared with an equation")
    with style():
        canvas = sheet(3.4)
        axes = canvas.subplots()
        bases = np.unique(drawn["n_base"])
        for index, base in enumerate(bases):
            _draw_base(axes, drawn[drawn["n_base"] == base], index)
        _frame(axes, drawn, inches=canvas.get_figwidth() - 0.8)
        legend(canvas, _legend(bases))
        svg = to_svg(canvas)
        places = spots(canvas, _marks(axes, drawn))
    caption = _caption(source, len(data) - len(drawn))
    return Figure(svg, f"{source}, audited", caption, _alt(source, drawn), data, places)


def _own(fit: Fit) -> str:
    """Return the equation derived from the table of this fit; "" if there is none."""
    name = fit.name.replace("/", "-")
    return next((key for key, each in EQUATIONS.items() if each.table.replace("/", "-") == name), "")


def _draw_base(axes: Axes, part: pd.DataFrame, index: int) -> None:
    colour, marker = SERIES[index % len(SERIES)], _MARKERS[index % len(_MARKERS)]
    # Offset the bases where they share a ratio.
    x = part["r_syn"] * 1.07 ** (index % 5 - 2)
    low, high = (part[name].clip(1 / _FARTHEST, _FARTHEST) for name in ("factor_low", "factor_high"))
    axes.vlines(x, low, high, color=colour, linewidth=1.2)
    for inside in (True, False):
        here = (part["trust"] == "inside") == inside
        factor = part.loc[here, "factor"].clip(1 / _FARTHEST, _FARTHEST)
        axes.plot(x[here], factor, linestyle="", marker=marker, markersize=5.2,
                  markerfacecolor=colour if inside else PAPER,
                  markeredgecolor=PAPER if inside else colour, markeredgewidth=0.8, zorder=3)  # fmt: skip


def _frame(axes: Axes, data: pd.DataFrame, *, inches: float) -> None:
    axes.axhline(1.0, color=INK, linewidth=1.0, linestyle=(0, (5, 3)))
    across = wrapped("r_syn: synthetic images added, for each base image", inches=inches)
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel="Equation over measured")
    middle = data["factor"].clip(1 / _FARTHEST, _FARTHEST)
    axes.set_ylim(min(float(middle.min()), 0.5) / 2, max(float(middle.max()), 2.0) * 2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    log_ticks(axes.xaxis, data["r_syn"].to_numpy(), inches=inches)
    axes.yaxis.set_minor_locator(NullLocator())


def _marks(axes: Axes, data: pd.DataFrame) -> Iterator[tuple[Axes, float, float, str]]:
    bases = np.unique(data["n_base"]).tolist()
    for row in data.to_dict("records"):
        factor = rates(Interval(row["factor"], row["factor_low"], row["factor_high"]))
        mixture = f"{number(row['n_base'])} base, {number(row['n_syn_plus'])} synthetic"
        x = row["r_syn"] * 1.07 ** (bases.index(row["n_base"]) % 5 - 2)
        yield axes, x, row["factor"], f"{mixture}: the equation asks {factor} times as many"


def _legend(bases: Array) -> list[Line2D]:
    return [
        Line2D([], [], linestyle="", marker=_MARKERS[index % len(_MARKERS)], markersize=5.2,
               color=SERIES[index % len(SERIES)], label=f"{number(base)} base")
        for index, base in enumerate(bases)
    ]  # fmt: skip


def _caption(source: str, worthless: int) -> str:
    left_out = f" Left out: {worthless} mixtures whose synthetic images are worth no real one."
    return (
        f"{source} against this fit. For each mixture that was measured: the synthetic images that the "
        "equation asks for the real ones that these are worth, over those that were there. On the dashed "
        "line it is right; above, it asks too many. Bars are 95 % intervals; hollow marks: beyond the data."
        + (left_out if worthless else "")
    )


def _alt(source: str, data: pd.DataFrame) -> str:
    inside = data[data["trust"] == "inside"]
    rows = inside if len(inside) else data
    where = "inside the data" if len(inside) else "beyond the data"
    return (
        f"{source} is typically off by a factor {typical_factor(rows):.2g} {where}: from "
        f"{rows['factor'].min():.2g} to {rows['factor'].max():.2g} "
        "times the synthetic images that were measured."
    )
