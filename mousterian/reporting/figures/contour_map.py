"""Accuracy over real and synthetic additions at one base size, with the equivalence curve."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from mousterian.answers.answerable import require_answer
from mousterian.answers.measured import equivalents, real_added, typical_question
from mousterian.answers.numbers import number, percent, times
from mousterian.fitting.surface import Array
from mousterian.reporting.axes import count_axis, steps
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import INK, MUTED, PAPER, SERIES, WIDTH, legend, sheet, style, width, wrapped

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 2  # in a report
_COLUMNS = ["n_base", "drawn", "r_real", "r_syn", "accuracy", "low", "high"]
_CURVE = SERIES[4]
_DOTS: dict[str, Any] = {
    "linestyle": "", "marker": "o", "markersize": 5, "color": INK, "markeredgecolor": PAPER,
    "markeredgewidth": 0.8, "clip_on": False, "zorder": 5,
}  # fmt: skip
_GRID, _CURVE_POINTS, _LEVELS = 41, 14, 9
# Extent of the map relative to the measurements, on its axes' scales.
_BEYOND = 1.15
# Width in inches of the note on unreachable additions.
_NOTE = 1.5


def draw(fit: Fit, *, n_base: float | None = None) -> Figure:
    """Draw accuracy over r_real and r_syn with the equivalence curve and its band (mousterian paper, Fig. 2).

    Args:
        fit: the fit.
        n_base: base size; by default the middle one with images of both kinds added.

    Raises:
        InputError: no trial has base images, or none synthetic ones.
    """
    require_answer(fit)
    base = typical_question(fit)[0] if n_base is None else float(n_base)
    real, synthetic = _measured_ratios(fit, base)
    x, y = steps(real, _GRID, beyond=_BEYOND), steps(synthetic, _GRID, beyond=_BEYOND)
    mesh_x, mesh_y = np.meshgrid(x, y)
    accuracy = fit.predict(base, mesh_x * base, mesh_y * base).estimate
    # Closer together near zero, where the curve bends most.
    asked = x[-1] * np.linspace(0.0, 1.0, _CURVE_POINTS)[1:] ** 1.8
    curve = equivalents(fit, base, asked * base)
    trials = _trials(fit, base)
    with style():
        canvas = sheet(4.4)
        axes = canvas.subplots()
        inches = width() - 1.0, canvas.get_figheight() - 1.0
        count_axis(axes.xaxis, real, inches=inches[0])
        count_axis(axes.yaxis, synthetic, inches=inches[1])
        axes.set(xlim=(0, x[-1]), ylim=(0, y[-1]))
        _draw_surface(axes, x, y, accuracy, curve)
        _hatch_beyond(axes, x[-1], y[-1], max(real), max(synthetic))
        _draw_curve(axes, curve, base, y[-1], inches=inches[0])
        axes.plot(trials["r_real"], trials["r_syn"], **_DOTS)
        axes.grid(visible=False)
        axes.set_xlabel(wrapped("r_real: real images added, for each base image", inches=inches[0]))
        axes.set_ylabel(wrapped("r_syn: synthetic images added, for each base image", inches=inches[1]))
        legend(canvas, _legend(), most=4)
        svg = to_svg(canvas)
        data = pd.concat([_at_measured(fit, base, real, synthetic), _as_ratios(fit, base, curve), trials])
        shown = data[data["drawn"] != "surface"].dropna(subset=["r_real", "r_syn"])
        places = spots(canvas, ((axes, *_mark(row)) for row in shown.to_dict("records")))
    title = f"Accuracy over real and synthetic additions at {number(base)} base images"
    data = data.reset_index(drop=True)[_COLUMNS]
    return Figure(svg, title, _caption(base), _alt(base, accuracy, curve), data, places)


def _mark(row: dict[Hashable, Any]) -> tuple[float, float, str]:
    """Return the place and the tooltip of a cell or a point of the curve."""
    added = f"{times(row['r_real'])} real, {times(row['r_syn'])} synthetic"
    found = f"{added}: {percent(row['accuracy'], 2)}"
    said = (
        f"{found} measured"
        if row["drawn"] == "trials"
        else f"{added} are worth the same: {percent(row['accuracy'], 2)}"
    )
    return row["r_real"], row["r_syn"], said


def _measured_ratios(fit: Fit, base: float) -> tuple[list[float], list[float]]:
    """Return the r_real and the r_syn measured at this base; if none, those of all bases."""
    data = fit.data[fit.data["n_base"] > 0]
    here = data[data["n_base"] == base]
    real = real_added(data, base)["added"].to_numpy() / base
    every = (data["n_syn_plus"] / data["n_base"]).to_numpy()
    own = (here["n_syn_plus"] / base).to_numpy()
    synthetic = own if (own > 0).any() else every
    return (
        np.unique(real.round(6)).tolist() or [1.0],
        np.unique(synthetic[synthetic > 0].round(6)).tolist(),
    )


def _trials(fit: Fit, base: float) -> pd.DataFrame:
    """Return the mean, lowest and highest accuracy of each cell measured at this base."""
    kept = fit.data[~fit.data["outlier"]]
    here = kept[(kept["n_base"] == base) | kept.index.isin(real_added(kept, base).index)]
    real = (here["n_base"] + here["n_real_plus"] - base) / base
    cells = here.assign(r_real=real, r_syn=here["n_syn_plus"] / base).groupby(["r_real", "r_syn"])["accuracy"]
    means = {"accuracy": cells.mean(), "low": cells.min(), "high": cells.max()}
    return pd.DataFrame(means).reset_index().assign(n_base=base, drawn="trials")


def _draw_surface(axes: Axes, x: Array, y: Array, accuracy: Array, curve: pd.DataFrame) -> None:
    levels = MaxNLocator(_LEVELS, steps=[1, 2, 2.5, 5, 10]).tick_values(accuracy.min(), accuracy.max())
    # One transparent layer per level: no seams, and suitable for light and dark pages.
    for level in levels[levels > accuracy.min()]:
        axes.contourf(x, y, accuracy, levels=[level, 2.0], colors=[SERIES[0]], alpha=0.085)
    lines = axes.contour(x, y, accuracy, levels=levels, colors=[MUTED], linewidths=0.8)
    digits = 0 if len(levels) < 2 or levels[1] - levels[0] > 0.0099 else 1
    axes.clabel(lines, fmt=lambda level: percent(level, digits), fontsize=7.5, colors=[INK], inline_spacing=5,
                manual=_label_spots(axes, lines, curve))  # fmt: skip


def _label_spots(axes: Axes, lines: ContourSet, curve: pd.DataFrame) -> list[tuple[float, float]]:
    """Return where on each contour line its label is farthest from the equivalence curve, as data."""
    to_axes = axes.transScale + axes.transLimits
    base = curve["n_base"].iloc[0]
    along = curve[["n_real_plus", "n_syn_plus"]].dropna().to_numpy() / base
    along = np.clip(to_axes.transform(along), 0.0, 1.0) if len(along) else np.zeros((1, 2))
    spots = []
    for path in lines.get_paths():
        vertices = to_axes.transform(np.asarray(path.vertices).reshape(-1, 2))
        inner = vertices[((vertices > 0.06) & (vertices < 0.84)).all(axis=1)]
        if len(inner):
            distance = np.hypot(*(inner[:, None] - along[None]).transpose(2, 0, 1)).min(axis=1)
            spots.append(tuple(to_axes.inverted().transform(inner[np.argmax(distance)])))
    return spots


def _hatch_beyond(axes: Axes, right: float, top: float, most_real: float, most_synthetic: float) -> None:
    """Hatch the map beyond the most images of either kind measured at this base."""
    for corner, across, up in (
        ((most_real, 0.0), right - most_real, top),
        ((0.0, most_synthetic), most_real, top - most_synthetic),
    ):
        axes.add_patch(Rectangle(corner, across, up, facecolor=PAPER, alpha=0.55, linewidth=0, zorder=2.2))
        axes.add_patch(Rectangle(corner, across, up, fill=False, hatch="///", linewidth=0, zorder=2.3))


def _draw_curve(axes: Axes, curve: pd.DataFrame, base: float, top: float, *, inches: float) -> None:
    found = curve.dropna(subset="n_syn_plus")
    real = np.concatenate([[0.0], found["n_real_plus"] / base])
    middle, low, high = (
        np.concatenate([[0.0], found[name] / base]) for name in ("n_syn_plus", "low", "high")
    )
    axes.fill_between(real, np.minimum(low, 2 * top), np.minimum(high, 2 * top), color=_CURVE, alpha=0.28,
                      linewidth=0, zorder=3)  # fmt: skip
    axes.plot(real, middle, color=_CURVE, linewidth=2.4, zorder=4)
    if len(found) < len(curve):
        lost = curve.loc[curve["n_syn_plus"].isna(), "n_real_plus"].iloc[0] / base
        axes.axvline(lost, color=_CURVE, linewidth=1.0, linestyle=":", zorder=4)
        # Left of the line if a narrow column has no room on the right; on a page there is always room.
        across = (axes.transScale + axes.transLimits).transform((lost, 0.0))[0]
        left = width() < WIDTH and inches * (1 - across) < _NOTE
        offset, side = (-4, "right") if left else (4, "left")
        axes.annotate("beyond: no number of\nsynthetic images is enough", (lost, top), (offset, -4), ha=side,
                      textcoords="offset points", va="top", fontsize=7.5, color=INK, zorder=5)  # fmt: skip


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=_CURVE, linewidth=2.4, label="equivalence"),
        Patch(facecolor=_CURVE, alpha=0.28, label="its 95 % band"),
        Line2D([], [], linestyle="", marker="o", markersize=5, color=INK, label="measured"),
        Patch(facecolor=PAPER, edgecolor=MUTED, hatch="///", linewidth=0.5, label="beyond what was measured"),
    ]


def _at_measured(fit: Fit, base: float, real: list[float], synthetic: list[float]) -> pd.DataFrame:
    """Return the surface at every pair of measured ratios, as the map's table."""
    x, y = (mesh.ravel() for mesh in np.meshgrid([0.0, *real], [0.0, *synthetic]))
    found = fit.predict(base, x * base, y * base)
    values = {"accuracy": found.estimate, "low": found.low, "high": found.high}
    return pd.DataFrame({"n_base": base, "drawn": "surface", "r_real": x, "r_syn": y, **values})


def _as_ratios(fit: Fit, base: float, curve: pd.DataFrame) -> pd.DataFrame:
    """Return the equivalence curve in the map's columns; low and high are its accuracy's, as in every row."""
    found = fit.predict(base, curve["n_real_plus"].to_numpy(), 0.0)
    values = {"accuracy": found.estimate, "low": found.low, "high": found.high}
    ratios = {"r_real": curve["n_real_plus"] / base, "r_syn": curve["n_syn_plus"] / base}
    return pd.DataFrame({"n_base": base, "drawn": "equivalence", **ratios, **values})


def _caption(base: float) -> str:
    return (
        f"The fitted accuracy at {number(base)} base images as real images (across) and synthetic ones "
        "(up) are added, stronger in colour for more accurate. The curve pairs each number of real images "
        "with the number of synthetic ones that, added alone, brings the same accuracy; its band is the 95 % "
        "interval. "
        "Dots are what was measured; hatching is beyond it."
    )


def _alt(base: float, accuracy: Array, curve: pd.DataFrame) -> str:
    found = curve.dropna(subset="n_syn_plus")
    span = f"from {percent(accuracy.min())} to {percent(accuracy.max())}"
    if found.empty:
        said = "No number of synthetic images is worth the real ones."
    else:
        last = found.iloc[-1]
        said = (
            f"The equivalence curve rises to {times(last['n_syn_plus'] / base)} synthetic images "
            f"at {times(last['n_real_plus'] / base)} real ones."
        )
        said += "" if len(found) == len(curve) else " Beyond that no number of synthetic images is enough."
    return (
        f"Contour map of test accuracy, {span}, over r_real and r_syn at {number(base)} base images. {said}"
    )
