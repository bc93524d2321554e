"""Style of all figures: colours, fonts, layout, and the scale of added images."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from mousterian.answers.numbers import number, times

Array = NDArray[Any]
INK, MUTED, RULE, PAPER = "#1b2330", "#5b6675", "#d5dae0", "#ffffff"
# seaborn's "colorblind" palette, reordered for contrast and without its two palest colours.
SERIES = ("#0173b2", "#de8f05", "#029e73", "#cc78bc", "#d55e00", "#56b4e9", "#ca9161", "#949494")
REAL, SYNTHETIC = SERIES[0], SERIES[1]
# Colours by role, which a page can override for dark mode.
ROLES = {
    "ink": INK,
    "muted": MUTED,
    "rule": RULE,
    "paper": PAPER,
    **{f"series-{index}": colour for index, colour in enumerate(SERIES, start=1)},
}
# In inches; scaled by the page so that text is about as large as the page's own.
WIDTH = 7.4
_FIXED: ContextVar[float | None] = ContextVar("fixed", default=None)
# In inches: least width of panels side by side, and of a pair with different axes; margins of a panel's axes,
# of those of a single panel in a column, and of those of a pair.
_PANEL, _UNLIKE = 2.0, 2.7
_MARGIN, _ALONE, _APART = 0.55, 1.1, 0.7
# A narrower drawing is this much taller than in proportion, to fit legend and labels.
_TALLER = 1.7
# Height of a legend's row in inches, and how much of a legend's width its invisible frame takes.
_LEGEND_ROW, _FRAME = 0.18, 0.02
# Size of a title in points, and the width of its characters over it.
_TITLE, _BOLD = 9.0, 0.56
# Text stays text (selectable, in the page's font). DejaVu Sans comes with matplotlib and is wider than most
# fonts, so that what fits in it fits in the page's.
_RC = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # TrueType, as journals require
    "svg.hashsalt": "mousterian",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": _TITLE,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "hatch.color": MUTED,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.2,
}
# In points: width of a tick label's character, least gap between labels, width of an axis label's character.
_CHARACTER, _GAP, _LETTER = 4.9, 7.0, 4.7


@contextmanager
def style() -> Iterator[None]:
    """Context for drawing and saving: our settings on top of matplotlib's defaults, not the user's."""
    with matplotlib.style.context(["default", _RC]):
        yield


@contextmanager
def fixed_width(inches: float) -> Iterator[None]:
    """Context for drawing in a given width, as for a paper's column, at unchanged font size."""
    token = _FIXED.set(inches)
    try:
        yield
    finally:
        _FIXED.reset(token)


def width(usual: float = WIDTH) -> float:
    """Return the width to draw in: the fixed one, else the usual one."""
    return _FIXED.get() or usual


def columns(most: int, *, least: float = _PANEL) -> int:
    """Return how many panels of at least `least` inches fit side by side, up to `most`."""
    return max(1, min(most, int(width() / least)))


def sheet(height: float, *, usual: float = WIDTH) -> Canvas:
    """Return an empty drawing of the current width, `height` inches high (less if narrower than usual)."""
    across = width(usual)
    return Canvas(figsize=(across, height * min(_TALLER * across / usual, 1.0)), layout="constrained")


class Panels(NamedTuple):
    """A drawing of panels in rows.

    Attributes:
        canvas: the drawing.
        axes: its panels.
        inches: approximate length of their horizontal axes.
    """

    canvas: Canvas
    axes: list[Axes]
    inches: float


def panels(
    count: int, *, height: float = 2.7, above: float = 0.45, sharey: bool = True, x: str = "", y: str = ""
) -> Panels:
    """Return `count` panels in rows of at most three.

    Args:
        count: panels.
        height: of a row, in inches.
        above: inches for the legend and the common label.
        sharey: whether they share one vertical axis.
        x: label of all horizontal axes.
        y: label of the vertical axis of each row.
    """
    across = columns(min(count, 3))
    rows = -(-count // across)
    canvas = sheet(above + height * rows)
    axes = list(canvas.subplots(rows, across, sharey=sharey, squeeze=False).ravel())
    for unused in axes[count:]:
        unused.remove()
    row = canvas.get_figheight() * height / (above + height * rows)
    for axis in axes[:count:across]:
        axis.set_ylabel(wrapped(y, inches=row))
    if x:
        canvas.supxlabel(wrapped(x, inches=width()), fontsize=_RC["axes.labelsize"], color=INK)
    margin = _ALONE if _FIXED.get() and across == 1 else _MARGIN
    return Panels(canvas, axes[:count], width() / across - margin)


def pair(height: float, *, shares: tuple[float, float] = (1, 1), sharey: bool = False) -> Panels:
    """Return two panels, side by side or, if that is too narrow, one below the other.

    Args:
        height: of a panel, in inches.
        shares: of the width, when side by side.
        sharey: whether they share one vertical axis.
    """
    across = columns(2, least=_UNLIKE)
    canvas = sheet(height * 2 / across)
    ratios = {"width_ratios": shares} if across == 2 else {}
    axes = list(canvas.subplots(2 // across, across, sharey=sharey, gridspec_kw=ratios))
    return Panels(canvas, axes, width() / across - _APART)


def legend(
    canvas: Canvas, handles: Sequence[Artist], *, most: int = 5, fontsize: float | None = None
) -> None:
    """Put a legend above the panels, in as many columns as fit, up to `most`.

    With a fixed width, each row after the first adds to the drawing's height.
    """
    for across in range(min(most, len(handles)), 0, -1):
        found = canvas.legend(
            handles=handles, loc="outside upper left", ncols=across, borderaxespad=0.1, fontsize=fontsize
        )
        if across == 1 or (1 - _FRAME) * found.get_window_extent().width <= canvas.bbox.width:
            break
        found.remove()
    if _FIXED.get():
        rows = -(-len(handles) // across)
        canvas.set_figheight(canvas.get_figheight() + _LEGEND_ROW * (rows - 1))


def wrapped(text: str, *, inches: float) -> str:
    """Wrap an axis label to lines of similar length, at most `inches` long."""
    most = int(72 * inches / _LETTER)
    lines = -(-len(text) // most)
    return textwrap.fill(text, min(most, len(text) // lines + 8)) if lines > 1 else text


def title(axis: Axes, text: str, *, inches: float) -> None:
    """Set a panel's title, in a smaller font if it is wider than the panel."""
    longest = max(map(len, text.split("\n")))
    axis.set_title(text, fontsize=min(_TITLE, 72 * inches / (_BOLD * longest)))


def accuracy_axis(axis: Axis) -> None:
    """Label an axis of accuracies in per cent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))


def stretch(measured: Iterable[float]) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return a suitable scale for the measured values, and its inverse.

    Linear if the values span less than a factor of ten, else linear near zero and logarithmic beyond.
    """
    positive = np.array([value for value in measured if value > 0])
    if not positive.size or positive.max() / positive.min() < 10:
        return np.asarray, np.asarray
    width = float(positive.min())
    return lambda value: np.arcsinh(np.asarray(value) / width), lambda spot: width * np.sinh(spot)


def steps(measured: Sequence[float], count: int, *, beyond: float = 1.0) -> Array:
    """Return `count` values from 0 to `beyond` times the largest measured, evenly spaced on its scale."""
    forward, inverse = stretch(measured)
    return np.asarray(inverse(np.linspace(0.0, beyond * float(forward(np.max(measured))), count)))


def count_axis(axis: Axis, measured: Sequence[float], *, inches: float, unit: float = 0.0) -> None:
    """Scale an axis of added images by `stretch`, with ticks where measurements are.

    Args:
        axis: of a panel: `panel.xaxis` or `panel.yaxis`.
        measured: what was measured, in images; or ratios, then `unit` is 0.
        inches: approximate length of the axis, to space the labels.
        unit: if above 0, a second line under each label gives the value over `unit`, as a ratio.
    """
    forward, inverse = stretch(measured)
    panel = axis.axes
    across = axis is panel.xaxis
    (panel.set_xscale if across else panel.set_yscale)("function", functions=(forward, inverse))
    values = np.unique([0.0, *measured])
    labels = [f"{number(value)}\n{times(value / unit)}" if unit else f"{value:.3g}" for value in values]
    spots = forward(values)
    points = 72 * inches * spots / max(float(spots[-1]), 1e-9)
    kept = thinned(points.tolist(), [_width(label) if across else 6.0 for label in labels])
    axis.set_major_locator(FixedLocator(values[kept].tolist()))
    axis.set_major_formatter(FixedFormatter([labels[index] for index in kept]))
    axis.set_minor_locator(NullLocator())


def _width(label: str) -> float:
    """Return the approximate width of a tick label, in points."""
    return _CHARACTER * max(map(len, label.split("\n")))


def log_ticks(axis: Axis, values: Array, *, inches: float, unit: float = 0.0) -> None:
    """Put ticks at (some of) the values on a logarithmic axis; `inches` and `unit` as for `count_axis`."""
    values = np.unique(values)
    labels = [f"{number(value)}\n{times(value / unit)}" if unit else times(value) for value in values]
    spots = np.log(values / values[0])
    points = 72 * inches * spots / max(float(spots[-1]), 1e-9)
    kept = thinned(points.tolist(), [_width(label) for label in labels])
    axis.set_major_locator(FixedLocator(values[kept].tolist()))
    axis.set_major_formatter(FixedFormatter([labels[index] for index in kept]))
    axis.set_minor_locator(NullLocator())


def thinned(points: Sequence[float], widths: Sequence[float]) -> list[int]:
    """Return which labels at `points` to keep so that none overlap, preferring the last, then the first."""
    kept: list[int] = []
    for index in [len(points) - 1, 0, *range(1, len(points) - 1)]:
        clear = (
            abs(points[index] - points[other]) >= (widths[index] + widths[other]) / 2 + _GAP for other in kept
        )
        if index not in kept and all(clear):
            kept.append(index)
    return sorted(kept)
