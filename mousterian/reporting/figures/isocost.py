"""The mixtures that just reach a target accuracy, and their costs."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mousterian.answers.answerable import require_answer
from mousterian.answers.measured import typical_question
from mousterian.answers.numbers import counts, number, percent
from mousterian.answers.plan import Plan, cheapest_mix
from mousterian.answers.wording import with_caveat
from mousterian.errors import InputError
from mousterian.reporting.axes import count_axis
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import INK, MUTED, PAPER, SERIES, legend, pair, style

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 6  # in a report
_COLOUR = SERIES[4]
_BEST: dict[str, Any] = {
    "marker": "o", "markersize": 7, "color": INK, "markeredgecolor": PAPER, "zorder": 4, "clip_on": False
}  # fmt: skip


def draw(
    fit: Fit,
    *,
    n_base: float | None = None,
    target_accuracy: float | None = None,
    real_cost: float = 1.0,
    syn_cost: float = 0.05,
) -> Figure:
    """Draw the mixtures of real and synthetic images that reach a target, with the cheapest.

    Args:
        fit: the fit.
        n_base: base size; by default the one that a report answers first.
        target_accuracy: a fraction, or percent if above 1; by default that of the first answer.
        real_cost: price of one real image.
        syn_cost: price of one synthetic image, in the same unit.

    Raises:
        InputError: no trial adds synthetic images, or no mixture reaches the target.
    """
    require_answer(fit)
    base, real = typical_question(fit)
    base = base if n_base is None else float(n_base)
    if target_accuracy is None:
        target_accuracy = round(float(fit.predict(base, real).estimate), 3)
    made = cheapest_mix(
        fit, n_base=base, target_accuracy=target_accuracy, real_cost=real_cost, syn_cost=syn_cost
    )
    data = made.frontier
    if not made.reachable or len(data) < 2:
        raise InputError(f"no mixture at {number(base)} base images reaches {percent(made.target_accuracy)}")
    with style():
        canvas, (left, right), inches = pair(3.3)
        _draw_mixtures(left, made, (real_cost, syn_cost))
        _draw_cost(right, made, inches=inches)
        legend(canvas, _legend(), most=3)
        svg = to_svg(canvas)
        places = spots(canvas, ((right, *_mark(row)) for row in data.to_dict("records")))
    caption = with_caveat(_caption(real_cost, syn_cost), made.conditional)
    return Figure(svg, f"Mixtures that reach {percent(made.target_accuracy)} at {number(base)} base images",
                  caption, _alt(made), data, places)  # fmt: skip


def _cheapest(made: Plan) -> pd.Series:
    return made.frontier.iloc[int(np.argmin(made.frontier["cost"]))]


def _draw_mixtures(axes: Axes, made: Plan, prices: tuple[float, float]) -> None:
    frontier, best = made.frontier, _cheapest(made)
    right, top = 1.08 * float(frontier["n_real_plus"].max()), 1.12 * float(frontier["n_syn_plus"].max())
    axes.plot(frontier["n_real_plus"], frontier["n_syn_plus"], color=_COLOUR, zorder=3)
    if prices[1] > 0:
        # The isocost line through the cheapest mixture, where it touches the curve.
        x = np.array([0.0, right])
        axes.plot(
            x, (best["cost"] - prices[0] * x) / prices[1], color=INK, linewidth=1.0, linestyle=(0, (5, 3))
        )
    axes.plot(best["n_real_plus"], best["n_syn_plus"], **_BEST)
    axes.set(xlim=(0, right), ylim=(0, top), xlabel="Real images added", ylabel="Synthetic images added")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: number(value))
        axis.set_major_locator(MaxNLocator(4))


def _draw_cost(axes: Axes, made: Plan, *, inches: float) -> None:
    frontier, best = made.frontier, _cheapest(made)
    axes.plot(frontier["n_real_plus"], frontier["cost"], color=_COLOUR)
    axes.plot(best["n_real_plus"], best["cost"], **_BEST)
    count_axis(axes.xaxis, _ticks(frontier), inches=inches)
    axes.set(
        ylim=(0, 1.1 * float(frontier["cost"].max())), xlabel="Real images in the mixture", ylabel="Cost"
    )
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    axes.yaxis.set_major_formatter(lambda value, _: number(value))
    axes.tick_params(axis="y", labelcolor=MUTED)


def _ticks(frontier: pd.DataFrame) -> list[float]:
    most = float(frontier["n_real_plus"].max())
    shares = (0.01, 0.1) if most >= 1000 else (0.25, 0.5, 0.75)
    return [float(f"{most * share:.1g}") for share in shares] + [most]


def _mark(row: dict[Hashable, Any]) -> tuple[float, float, str]:
    """Return the place and the tooltip of a mixture."""
    mixture = f"{number(row['n_real_plus'])} real and {number(row['n_syn_plus'])} synthetic"
    return row["n_real_plus"], row["cost"], f"{mixture}: cost {number(row['cost'])}"


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=_COLOUR, label="mixtures that just reach the target"),
        Line2D([], [], color=INK, linewidth=1.0, linestyle=(0, (5, 3)), label="mixtures of the same cost"),
        Line2D([], [], linestyle="", marker="o", markersize=6, color=INK, label="cheapest"),
    ]


def _caption(real_cost: float, syn_cost: float) -> str:
    return (
        "Left, every point of the curve reaches the target with so many real and synthetic images; the "
        f"dashed line holds mixtures of equal cost where a real image costs {real_cost:g} and a synthetic "
        f"one {syn_cost:g}. Right, what the mixtures cost. Other prices and targets can be asked above."
    )


def _alt(made: Plan) -> str:
    if made.n_real_plus is None or made.n_syn_plus is None or made.cost is None:
        return "0 mixtures reach the target."
    return (
        f"Curve of mixtures that reach {percent(made.target_accuracy)}: the cheapest has "
        f"{counts(made.n_real_plus)} real and {counts(made.n_syn_plus)} synthetic images and costs "
        f"{counts(made.cost)}."
    )
