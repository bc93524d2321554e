"""Figures for papers: SVG, PDF or PNG in the width of a column."""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.gridspec import GridSpec
from matplotlib.legend import Legend
from matplotlib.text import Annotation
from matplotlib.ticker import FixedFormatter, FixedLocator

from mousterian import plugins
from mousterian.equivalence import Fit
from mousterian.errors import InputError, unknown_name
from mousterian.figures._figure import Figure, drawings
from mousterian.figures._style import style, thinned
from mousterian.options import given_as_text
from mousterian.plugins import Plugin
from mousterian.store import write_atomically

# Inches: a column and the whole width of the usual two-column styles (ICML's; others' are near).
WIDTHS = {"single": 3.25, "double": 6.75}
_NARROWEST, _WIDEST = 2.0, 20.0
# A panel narrower than this goes below its neighbour, and is made this high, with what is around it.
_PANEL, _ROW, _AROUND = 2.0, 2.1, 0.85
# A narrower drawing of one panel is this much taller than its width asks for: legend and labels take room.
_TALLER = 1.7
_INCH = 72.0
_DPI = 300
# What differs from run to run stays out of each format's metadata.
_METADATA = {
    "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    "pdf": dict.fromkeys(("Creator", "Producer", "CreationDate")),
    "png": {"Software": None},
}


def width_of(text: str) -> float:
    """Return a width in inches: of `single` or `double`, or a number.

    Raises:
        InputError: it is neither, or no width that a page has.
    """
    if text in WIDTHS:
        return WIDTHS[text]
    try:
        width = float(text)
    except ValueError:
        raise unknown_name("width", text, WIDTHS, where="--width", hint="or a number of inches") from None
    if not _NARROWEST <= width <= _WIDEST:
        raise InputError(f"{text} inches is not between {_NARROWEST:g} and {_WIDEST:g}", where="--width")
    return width


def print_figure(
    fit: Fit,
    name: str,
    path: Path,
    *,
    width: float,
    options: Sequence[str] = (),
    store: str = "",
    beside: Sequence[Fit] = (),
) -> Figure:
    """Draw one figure of a fit into a file; the same input gives the same bytes.

    Args:
        fit: of the arm.
        name: of the figure.
        path: the file; its ending says the format.
        width: in inches; type stays as large as it is, panels that get too narrow go below each other.
        options: `KEY=VALUE`, the figure's own options.
        store: folder of the store, for figures of its trials and pools; "" for none.
        beside: other arms' fits, for a figure that can show several: its file has a function `beside`.

    Returns:
        The figure, for its caption, alternative text and numbers.

    Raises:
        InputError: an unknown figure, option or format, or the fit has nothing to draw.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _METADATA:
        raise unknown_name("format", kind or path.name, _METADATA, where=f"--out {path}")
    plugin = plugins.find("figures", name)
    given = given_as_text(plugin, options, flag="--option")
    if store and "store" not in plugin.options:
        raise InputError(f"the figure {name!r} takes nothing from a store", where=f"--store {store}")
    chosen = plugin.resolve(given | {"store": store} if store else given)
    arms = [(each.name, each) for each in (fit, *beside)]
    if beside:
        _refuse_beside(plugin, arms, chosen=bool(given))
    with drawings() as drawn:
        figure: Figure = plugin.beside(arms) if beside else plugin.load()(fit, **chosen)
    if not drawn:
        raise InputError(f"the figure {name!r} is not drawn here and cannot be printed")
    with style():
        # Journals want fonts as Type 42; an SVG's letters are outlines, as the reader may not have the font.
        matplotlib.rcParams["pdf.fonttype"] = 42
        matplotlib.rcParams["svg.fonttype"] = "path"
        _refit(drawn[-1], width)
        write_atomically(path, _content(drawn[-1], kind))
    return figure


def _refuse_beside(plugin: Plugin, arms: Sequence[tuple[str, Fit]], *, chosen: bool) -> None:
    """Refuse several arms where the figure shows one, was given options, or cannot tell them apart."""
    if not plugin.has_beside:
        able = sorted(name for name, each in plugins.working("figures").items() if each.has_beside)
        hint = f"several: {', '.join(able)}"
        raise InputError(f"the figure {plugin.name!r} shows one arm", where="--beside", hint=hint)
    if chosen:
        raise InputError(f"of several arms the figure {plugin.name!r} takes no options", where="--option")
    if len(dict(arms)) < len(arms):
        raise InputError("two of the fits have one name and the same options", where="--beside")


def told(figure: Figure, path: Path) -> dict[str, Any]:
    """Return what `mousterian figure --json` prints; a number that does not exist is null."""
    texts = {"title": figure.title, "caption": figure.caption, "alt": figure.alt}
    return {"path": str(path), **texts, "data": json.loads(figure.data.to_json(orient="records"))}


def _content(canvas: Canvas, kind: str) -> bytes:
    buffer = io.BytesIO()
    metadata: dict[str, Any] = _METADATA[kind]
    canvas.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata)
    return buffer.getvalue()


def _refit(canvas: Canvas, width: float) -> None:
    """Give a drawing another width, and let nothing in it touch that did not before."""
    before, height = canvas.get_size_inches()
    rows = _regrid(canvas, max(1, int(width / _PANEL)))
    flatter = height * min(_TALLER * width / before, 1.0)
    canvas.set_size_inches(width, _AROUND + _ROW * rows if rows else flatter)
    renderer = FigureCanvasAgg(canvas).get_renderer()  # type: ignore[no-untyped-call]
    for legend in list(canvas.legends):
        _rewrap(canvas, legend, renderer)
    canvas.draw(renderer)
    for panel in canvas.axes:
        _turn_notes(panel, renderer)
        _shrink_title(panel, renderer)
    for side in ("width", "height"):
        canvas.draw(renderer)
        _wrap_labels(canvas, side, renderer)
    canvas.draw(renderer)
    for panel in canvas.axes:
        for axis in (panel.xaxis, panel.yaxis):
            _thin(axis, renderer)


def _regrid(canvas: Canvas, columns: int) -> int:
    """Put panels below each other where there are more columns than fit; return the rows, 0 as they were."""
    specs = [panel.get_subplotspec() for panel in canvas.axes]
    grids = {id(spec.get_gridspec()): spec.get_gridspec() for spec in specs if spec}
    if len(grids) != 1 or None in specs or next(iter(grids.values())).ncols <= columns:
        return 0
    rows = math.ceil(len(canvas.axes) / columns)
    grid = GridSpec(rows, columns, figure=canvas)
    first = canvas.axes[0]
    label = first.get_ylabel()
    for index, panel in enumerate(canvas.axes):
        panel.set_subplotspec(grid[index // columns, index % columns])
        if panel.get_shared_y_axes().joined(panel, first):
            _mark_edge(panel, first=index % columns == 0, label=label)
    return rows


def _mark_edge(panel: Axes, *, first: bool, label: str) -> None:
    """Name the axis that a row of panels shares at its first panel only."""
    panel.tick_params(axis="y", labelleft=first)
    panel.set_ylabel((panel.get_ylabel() or label) if first else "")


def _rewrap(canvas: Canvas, legend: Legend, renderer: RendererBase) -> None:
    """Give a legend that is wider than the drawing fewer columns."""
    handles = [handle for handle in legend.legend_handles if handle is not None]
    texts = [text.get_text() for text in legend.get_texts()]
    columns = min(len(texts), 5)
    while legend.get_window_extent(renderer).width > canvas.bbox.width and columns > 1:
        columns -= 1
        legend.remove()
        legend = canvas.legend(
            handles, texts, loc="outside upper left", ncols=columns, borderaxespad=0.1, columnspacing=1.2
        )


def _wrap_labels(canvas: Canvas, side: Literal["width", "height"], renderer: RendererBase) -> None:
    """Break the labels of axes across (width) or upwards (height) that are longer than them into lines."""
    for panel in canvas.axes:
        label = (panel.xaxis if side == "width" else panel.yaxis).label
        share = getattr(panel.bbox, side) / max(getattr(label.get_window_extent(renderer), side), 1e-9)
        if share < 1:
            label.set_text(textwrap.fill(label.get_text(), int(len(label.get_text()) * share)))


def _turn_notes(panel: Axes, renderer: RendererBase) -> None:
    """Set notes that would run out of their panel to the left of what they are about."""
    for note in panel.texts:
        if isinstance(note, Annotation) and note.get_window_extent(renderer).x1 > panel.bbox.x1:
            right, up = note.xyann
            note.xyann = (-right, up)
            note.set_horizontalalignment("right")


def _shrink_title(panel: Axes, renderer: RendererBase) -> None:
    """Set a title that is wider than its panel smaller, so that it ends before the next one."""
    if not panel.get_title("left"):
        return
    title = panel.set_title(panel.get_title("left"), loc="left")
    share = panel.bbox.width / title.get_window_extent(renderer).width
    title.set_fontsize(float(title.get_fontsize()) * min(share, 1.0))


def _thin(axis: Axis, renderer: RendererBase) -> None:
    """Drop labels of ticks that touch; only those that a figure set itself, matplotlib's own never do."""
    locator, formatter = axis.get_major_locator(), axis.get_major_formatter()
    if not (isinstance(locator, FixedLocator) and isinstance(formatter, FixedFormatter)):
        return
    across = axis is axis.axes.xaxis
    boxes = [label.get_window_extent(renderer) for label in axis.get_ticklabels()]
    scale = _INCH / axis.axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    middles = [scale * ((box.x0 + box.x1) if across else (box.y0 + box.y1)) / 2 for box in boxes]
    sizes = [scale * (box.width if across else box.height) for box in boxes]
    kept = thinned(middles, sizes)
    places, labels = locator(), list(formatter.seq)
    axis.set_major_locator(FixedLocator([places[index] for index in kept]))
    axis.set_major_formatter(FixedFormatter([labels[index] for index in kept]))
