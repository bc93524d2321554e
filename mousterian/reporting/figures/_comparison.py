"""Several fits' equivalences in one figure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from mousterian.answers.measured import MOST_BASES, base_sizes, equivalents, evenly, has_synthetic
from mousterian.answers.numbers import counts, number
from mousterian.errors import InputError
from mousterian.fitting.interval import Interval
from mousterian.fitting.surface import Array
from mousterian.reporting.axes import log_ticks
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import SERIES, legend, panels, style

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


_POINTS = 7
_LINES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0, ()),
    (0, (5, 2)),
    (0, (1, 1.2)),
    (0, (6, 1.5, 1, 1.5)),
)
_PALE = 0.45


def draw(arms: Sequence[tuple[str, Fit]]) -> Figure:
    """Draw the synthetic images that real ones are worth in each arm, one panel for each base size.

    An arm is drawn at its measured base sizes, and paler where its answers are extrapolated.

    Args:
        arms: names and fits.

    Raises:
        InputError: fewer than two arms have synthetic images.
    """
    arms = [(name, fit) for name, fit in arms if has_synthetic(fit.data)]
    if len(arms) < 2:
        raise InputError("fewer than two arms have synthetic images")
    measured = {name: base_sizes(fit, most=100) for name, fit in arms}
    bases = _bases(list(measured.values()))
    parts = [_data(*arm, base) for base in bases for arm in arms if base in measured[arm[0]]]
    data = pd.concat(parts, ignore_index=True)
    with style():
        canvas, axes, inches = panels(
            len(bases),
            x="Real images added to the base set, and their ratio to it",
            y="Synthetic images of the same worth",
        )
        axes[0].set_yscale("log")
        found = data["n_syn_plus"].dropna()
        if len(found):
            axes[0].set_ylim(max(float(found.min()) / 2, 0.5), float(found.max()) * 2)
        for axis, base in zip(axes, bases, strict=True):
            here = data[data["n_base"] == base]
            _draw_panel(axis, base, here, list(measured), inches=inches)
        axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes[0].yaxis.set_minor_locator(NullLocator())
        legend(canvas, _legend([name for name, _ in arms]), most=3)
        svg = to_svg(canvas)
        by_base = dict(zip(bases, axes, strict=True))
        places = spots(canvas, ((by_base[row["n_base"]], *_mark(row)) for row in data.to_dict("records")))
    return Figure(svg, "The arms side by side", _caption(), _alt(data), data, places)


def _bases(each: Sequence[Sequence[float]]) -> list[float]:
    """Return the base sizes shared by several arms, or all if none is shared; at most six."""
    every = sorted(set(chain.from_iterable(each)))
    shared = [base for base in every if sum(base in bases for bases in each) > 1] or every
    return evenly(shared, MOST_BASES)


def _data(name: str, fit: Fit, base: float) -> pd.DataFrame:
    return equivalents(fit, base, _asked(base)).assign(arm=name)


def _asked(base: float) -> Array:
    return base * np.geomspace(0.25, 2.0, _POINTS)


def _draw_panel(axis: Axes, base: float, here: pd.DataFrame, arms: Sequence[str], *, inches: float) -> None:
    axis.set_title(f"{number(base)} base images")
    axis.set_xscale("log")
    for index, name in enumerate(arms):
        _draw_arm(axis, here[here["arm"] == name], index)
    ends = _asked(base)[[0, _POINTS // 2, _POINTS - 1]]
    log_ticks(axis.xaxis, ends, inches=inches, unit=base)


def _draw_arm(axis: Axes, part: pd.DataFrame, index: int) -> None:
    colour, line = SERIES[index % len(SERIES)], _LINES[index % len(_LINES)]
    found = part.dropna(subset="n_syn_plus")
    bottom, top = axis.get_ylim()
    low, high = found["low"].clip(bottom / 10), found["high"].clip(upper=10 * top)
    axis.fill_between(found["n_real_plus"], low, high, color=colour, alpha=0.15, linewidth=0)
    x, y = found["n_real_plus"], found["n_syn_plus"]
    outside = found["trust"] != "inside"
    # Connect outside points to their neighbours, which may lie inside.
    joined = outside | outside.shift(1, fill_value=False) | outside.shift(-1, fill_value=False)
    axis.plot(x, y.where(joined), color=colour, linestyle=line, linewidth=1.2, alpha=_PALE)
    axis.plot(x, y.where(~outside), color=colour, linestyle=line)
    lost = part.loc[part["n_syn_plus"].isna(), "n_real_plus"]
    axis.plot(
        lost, [top / 1.3 ** (1.2 + index)] * len(lost), linestyle="", marker="x", markersize=5, color=colour
    )


def _mark(row: dict[Hashable, Any]) -> tuple[float, float, str]:
    """Return the place and the tooltip of an equivalence."""
    worth = counts(Interval(row["n_syn_plus"], row["low"], row["high"]))
    at = f"{row['arm']}, {number(row['n_base'])} base images: {number(row['n_real_plus'])} more real"
    return row["n_real_plus"], row["n_syn_plus"], f"{at} are worth {worth} synthetic ({row['trust']})"


def _legend(names: Sequence[str]) -> list[Line2D]:
    return [
        Line2D([], [], color=SERIES[index % len(SERIES)], linestyle=_LINES[index % len(_LINES)], label=name)
        for index, name in enumerate(names)
    ]


def _caption() -> str:
    return (
        "How many synthetic images bring the same accuracy as a number of real ones, in each arm, with 95 % "
        "bands: the lower, the more a synthetic image is worth. Paler: beyond what the arm was measured at. "
        "Crosses at the top: no number is enough."
    )


def _alt(data: pd.DataFrame) -> str:
    said = []
    for _, part in data.groupby(["n_base", "arm"], sort=True):
        base = float(part["n_base"].iloc[0])
        middle = part.iloc[int((part["n_real_plus"] / base - 1).abs().to_numpy().argmin())]
        worth = "no number of" if np.isnan(middle["n_syn_plus"]) else number(middle["n_syn_plus"])
        at = f"at {number(base)} base images, as many real again"
        said.append(f"{at} are worth {worth} synthetic in {middle['arm']}")
    return f"Lines of equivalence for each arm: {'; '.join(said)}."
