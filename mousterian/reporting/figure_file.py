"""Figures for papers: SVG, PDF or PNG in the width of a column."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from mousterian.errors import InputError, unknown_name
from mousterian.files import write_atomically
from mousterian.fitting.result import Fit
from mousterian.plugins import registry
from mousterian.plugins.key_value import parsed_options
from mousterian.plugins.spec import Plugin
from mousterian.reporting.drawing import Figure, drawings
from mousterian.reporting.style import asked_width, style

# Inches: a column and the whole width of the usual two-column styles (ICML's; others' are near).
WIDTHS = {"single": 3.25, "double": 6.75}
_NARROWEST, _WIDEST = 2.0, 20.0
_DPI = 300
# What differs from run to run stays out of each format's metadata.
_METADATA: dict[str, dict[str, Any]] = {
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
    fit: Fit, name: str, path: Path, *, width: float, options: Sequence[str] = (), store: str = "",
    beside: Sequence[Fit] = (),
) -> Figure:  # fmt: skip
    """Draw one figure of a fit into a file; the same input gives the same bytes.

    Args:
        fit: of the arm.
        name: of the figure.
        path: the file; its ending says the format.
        width: in inches.
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
    with asked_width(width), drawings() as drawn:
        figure: Figure = _draw(registry.find("figures", name), [fit, *beside], options, store)
    if not drawn:
        raise InputError(f"the figure {name!r} is not drawn here and cannot be printed")
    buffer = io.BytesIO()
    with style():
        # An SVG's letters are outlines, as the reader may not have the font.
        matplotlib.rcParams["svg.fonttype"] = "path"
        drawn[-1].set_figwidth(width)  # also of a figure that does not ask for its width
        drawn[-1].savefig(buffer, format=kind, dpi=_DPI, metadata=_METADATA[kind])
    write_atomically(path, buffer.getvalue())
    return figure


def _draw(plugin: Plugin, fits: Sequence[Fit], options: Sequence[str], store: str) -> Any:
    given = parsed_options(plugin, options, flag="--option")
    if store and "store" not in plugin.options:
        raise InputError(f"the figure {plugin.name!r} takes nothing from a store", where=f"--store {store}")
    chosen = plugin.resolve(given | {"store": store} if store else given)
    if len(fits) == 1:
        return plugin.load()(fits[0], **chosen)
    draw_beside = plugin.part("beside")
    if draw_beside is None:
        able = sorted(name for name, each in registry.working("figures").items() if "beside" in each.parts)
        hint = f"several: {', '.join(able)}"
        raise InputError(f"the figure {plugin.name!r} shows one arm", where="--beside", hint=hint)
    if given:
        raise InputError(f"of several arms the figure {plugin.name!r} takes no options", where="--option")
    if len({each.name for each in fits}) < len(fits):
        raise InputError("two of the fits have one name and the same options", where="--beside")
    return draw_beside([(each.name, each) for each in fits])
