"""How every figure looks: colours, type, and the scale of added images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from mousterian.wording import number, times

Array = NDArray[Any]
INK, MUTED, RULE, PAPER = "#1b2330", "#5b6675", "#d5dae0", "#ffffff"
# seaborn's "colorblind" palette, neighbours set apart; its two palest colours are left out.
SERIES = ("#0173b2", "#de8f05", "#029e73", "#cc78bc", "#d55e00", "#56b4e9", "#ca9161", "#949494")
REAL, SYNTHETIC = SERIES[0], SERIES[1]
# Colours by role: a page may give each role another colour, for dark mode.
ROLES = {
    "ink": INK,
    "muted": MUTED,
    "rule": RULE,
    "paper": PAPER,
    **{f"series-{index}": colour for index, colour in enumerate(SERIES, start=1)},
}
# Inches; a page scales it, so that type is about as large as the page's own.
WIDTH = 7.4
# Text stays text (selectable, in the page's font); DejaVu Sans comes with matplotlib and is wider than
# most fonts, so what fits in it fits in theirs.
_RC = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mousterian",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
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
# Width of a character of tick label and the least gap between two, in points.
_CHARACTER, _GAP = 4.9, 7.0


@contextmanager
def style() -> Iterator[None]:
    """Draw and save within this: our settings on top of matplotlib's defaults, whatever the user's are."""
    with matplotlib.style.context(["default", _RC]):
        yield


def panels(count: int, *, height: float = 2.7, most_columns: int = 3) -> tuple[Canvas, list[Axes]]:
    """Return a figure and its `count` panels, in rows of at most three that share one accuracy axis."""
    columns = min(count, most_columns)
    rows = -(-count // columns)
    canvas = Canvas(figsize=(WIDTH, 0.45 + height * rows), layout="constrained")
    grid = canvas.subplots(rows, columns, sharey=True, squeeze=False)
    every = list(grid.ravel())
    for unused in every[count:]:
        unused.remove()
    return canvas, every[:count]


def accuracy_axis(axis: Axis) -> None:
    """Label an axis of accuracies in per cent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))


def stretch(measured: Iterable[float]) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return the scale that suits what was measured, and its inverse.

    Linear where the values span less than a factor ten, else linear near zero and logarithmic beyond.
    """
    positive = np.array([value for value in measured if value > 0])
    if not positive.size or positive.max() / positive.min() < 10:
        return np.asarray, np.asarray
    width = float(positive.min())
    return lambda value: np.arcsinh(np.asarray(value) / width), lambda spot: width * np.sinh(spot)


def steps(measured: Sequence[float], count: int, *, beyond: float = 1.0) -> Array:
    """Return `count` values from zero to `beyond` times the most measured, evenly spread on its scale."""
    forward, inverse = stretch(measured)
    return np.asarray(inverse(np.linspace(0.0, beyond * float(forward(np.max(measured))), count)))


def count_axis(axis: Axis, measured: Sequence[float], *, inches: float, unit: float = 0.0) -> None:
    """Scale an axis of added images by `stretch`, with ticks where measurements are.

    Args:
        axis: of a panel: `panel.xaxis` or `panel.yaxis`.
        measured: what was measured, in images; or ratios, then `unit` is 0.
        inches: about how long the axis is drawn, to keep labels apart.
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
    """Return about how wide a tick label is, in points."""
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
    """Return which labels at `points` to keep so that none touch: the last, the first, then the rest."""
    kept: list[int] = []
    for index in [len(points) - 1, 0, *range(1, len(points) - 1)]:
        clear = (
            abs(points[index] - points[other]) >= (widths[index] + widths[other]) / 2 + _GAP for other in kept
        )
        if index not in kept and all(clear):
            kept.append(index)
    return sorted(kept)
