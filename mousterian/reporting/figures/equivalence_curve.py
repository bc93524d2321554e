"""Synthetic images worth each number of real ones, for each base size."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from mousterian.answers.answerable import require_answer
from mousterian.answers.measured import base_sizes, equivalents, real_added
from mousterian.answers.numbers import counts, number
from mousterian.answers.wording import with_caveat
from mousterian.fitting.interval import Interval
from mousterian.fitting.surface import Array
from mousterian.reporting.axes import log_ticks
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.figures import _comparison
from mousterian.reporting.style import INK, SERIES, legend, panels, style

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 3  # in a report
_COLOUR = SERIES[4]
_POINTS = 9


def draw(fit: Fit, *, most_panels: int = 6) -> Figure:
    """Draw n_syn_plus against the n_real_plus that it is worth (mousterian paper, Eq. 1 and 2).

    One panel for each base size, with the 95 % band and the line on which both are worth the same.

    Args:
        fit: the fit.
        most_panels: base sizes shown at most, evenly spaced.

    Raises:
        InputError: no trial has base images, or none synthetic ones.
    """
    require_answer(fit)
    bases = base_sizes(fit, most=most_panels)
    measured = {base: _measured(fit, base) for base in bases}
    asked = {base: np.geomspace(real[0], real[-1], _POINTS) for base, real in measured.items()}
    data = pd.concat([equivalents(fit, base, asked[base]) for base in bases], ignore_index=True)
    with style():
        canvas, axes, inches = panels(
            len(bases),
            x="Real images added to the base set, and their ratio to it",
            y="Synthetic images of the same worth",
        )
        axes[0].set_yscale("log")
        axes[0].set_ylim(*_limits(data))
        for axis, base in zip(axes, bases, strict=True):
            _draw_panel(axis, base, data)
            log_ticks(axis.xaxis, measured[base], inches=inches, unit=base)
        axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes[0].yaxis.set_minor_locator(NullLocator())
        legend(canvas, _legend(data))
        svg = to_svg(canvas)
        by_base = dict(zip(bases, axes, strict=True))
        places = spots(canvas, ((by_base[row["n_base"]], *_mark(row)) for row in data.to_dict("records")))
    caption = with_caveat(_caption(data), fit.conditional)
    return Figure(
        svg, "Synthetic images worth a number of real ones", caption, _alt(bases, data), data, places
    )


def beside(arms: Sequence[tuple[str, Fit]]) -> Figure:
    """Draw the curves of several arms, names and fits, in one drawing."""
    return _comparison.draw(arms)


def _mark(row: dict[Hashable, Any]) -> tuple[float, float, str]:
    """Return the place and the tooltip of an equivalence."""
    real = f"{number(row['n_base'])} base images: {number(row['n_real_plus'])} more real"
    syn = Interval(row["n_syn_plus"], row["low"], row["high"])
    trust = "" if row["trust"] == "inside" else f", {row['trust']}"
    return row["n_real_plus"], row["n_syn_plus"], f"{real} are worth {counts(syn)} synthetic{trust}"


def _measured(fit: Fit, base: float) -> Array:
    """Return the real additions measured at a base; if none, fractions of the base."""
    added = np.unique(real_added(fit.data, base)["added"].to_numpy(dtype=float))
    if not added.size:
        return base * np.array([0.25, 0.5, 1.0])
    return added if added[-1] >= 4 * added[0] else np.concatenate([[added[-1] / 4], added])


def _limits(data: pd.DataFrame) -> tuple[float, float]:
    """Return the range of synthetic images shown; wider bands are cut off."""
    synthetic = data["n_syn_plus"].dropna()
    least, most = data["n_real_plus"].min(), data["n_real_plus"].max()
    if len(synthetic):
        least, most = min(least, synthetic.min()), max(most, synthetic.max())
    return max(least / 2.5, 0.5), most * 2.5


def _draw_panel(axis: Axes, base: float, data: pd.DataFrame) -> None:
    bottom, top = _limits(data)
    axis.set_title(f"{number(base)} base images")
    part = data[data["n_base"] == base]
    real = part["n_real_plus"]
    axis.set_xscale("log")
    axis.set_xlim(real.min() / 1.15, real.max() * 1.15)
    axis.plot([bottom, top], [bottom, top], color=INK, linewidth=1.0, linestyle=(0, (5, 3)))
    found = part.dropna(subset="n_syn_plus")
    x, y = found["n_real_plus"], found["n_syn_plus"]
    axis.fill_between(x, found["low"].clip(bottom / 10), found["high"].clip(upper=10 * top), color=_COLOUR,
                      alpha=0.2, linewidth=0)  # fmt: skip
    axis.plot(x, y, color=_COLOUR, linewidth=1.5, linestyle=(0, (1, 1.4)))
    axis.plot(x, y.where(found["trust"] == "inside"), color=_COLOUR, linewidth=2.2)
    lost = part.loc[part["n_syn_plus"].isna(), "n_real_plus"]
    axis.plot(lost, [top / 1.35] * len(lost), linestyle="", marker="x", markersize=5, color=_COLOUR)


def _legend(data: pd.DataFrame) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=_COLOUR, linewidth=2.2, label="equivalence"),
        Patch(facecolor=_COLOUR, alpha=0.2, label="its 95 % band"),
        Line2D([], [], color=INK, linewidth=1.0, linestyle=(0, (5, 3)), label="1 : 1"),
    ]
    if (data["trust"] != "inside").any():
        dotted = Line2D(
            [], [], color=_COLOUR, linewidth=1.5, linestyle=(0, (1, 1.4)), label="beyond the data"
        )
        handles.insert(1, dotted)
    if data["n_syn_plus"].isna().any():
        handles.append(Line2D([], [], linestyle="", marker="x", color=_COLOUR, label="not reachable"))
    return handles


def _caption(data: pd.DataFrame) -> str:
    said = (
        "How many synthetic images bring the same accuracy as a number of real ones, for each base size, "
        "with 95 % bands. Solid where the answer lies inside the measured range, dotted beyond it. On the "
        "dashed line a synthetic image is worth a real one; above it, less."
    )
    if data["n_syn_plus"].isna().any():
        said += " Crosses mark real additions that no number of synthetic images makes up for."
    return said


def _alt(bases: list[float], data: pd.DataFrame) -> str:
    said = []
    for base in bases:
        part = data[data["n_base"] == base]
        found = part.dropna(subset="n_syn_plus")
        if found.empty:
            said.append(f"at {number(base)} base images it is not reachable")
            continue
        last = found.iloc[-1]
        said.append(
            f"at {number(base)} base images, {number(last['n_real_plus'])} real are worth "
            f"{number(last['n_syn_plus'])} synthetic"
        )
    return f"Lines of synthetic images against the real images that they are worth: {'; '.join(said)}."
