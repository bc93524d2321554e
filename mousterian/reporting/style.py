"""Style of all figures: colours, fonts, panels and legends."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

INK, MUTED, RULE, PAPER = "#1b2330", "#5b6675", "#d5dae0", "#ffffff"
# seaborn's "colorblind" palette, reordered for contrast and without its two palest colours.
SERIES = ("#0173b2", "#de8f05", "#029e73", "#cc78bc", "#d55e00", "#56b4e9", "#ca9161", "#949494")
REAL, SYNTHETIC = SERIES[0], SERIES[1]
# Colour and marker of a mixture by what it adds to its base.
MIXTURES = {
    "nothing": (INK, "D"),
    "real": (REAL, "o"),
    "synthetic": (SYNTHETIC, "s"),
    "both": (SERIES[3], "v"),
}
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
# Width of an axis label's character, in points.
_LETTER = 4.7


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
