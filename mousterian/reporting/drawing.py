"""A figure: a drawing with caption, alternative text and data."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from mousterian.reporting.style import ROLES, WIDTH

if TYPE_CHECKING:
    import pandas as pd


_IDENTIFIER = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^")]*)')
_STYLE = re.compile(r' style="([^"]*)"')
_LONG_NUMBER = re.compile(r"\d+\.\d{3,}")
_DRAWINGS: ContextVar[list[Canvas] | None] = ContextVar("drawings", default=None)
# In points: three quarters of the usual width.
_NARROW = 0.75 * 72 * WIDTH
_COORDINATES = re.compile(r' (?:d|x|y|points)="[^"]*"')


@dataclass(frozen=True)
class Spot:
    """A tooltip's place in a drawing, in points from its top left corner."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        svg: a whole SVG document; the same input gives the same bytes.
        title: what it shows, in a few words.
        caption: how to read it, in sentences.
        alt: alternative text: its axes and its finding.
        data: the numbers drawn, one row per point; accuracies as fractions.
        spots: tooltips.
    """

    svg: str
    title: str
    caption: str
    alt: str
    data: pd.DataFrame
    spots: tuple[Spot, ...] = ()

    def inline(self, prefix: str) -> str:
        """Return the drawing as an element of an HTML page.

        Colours become CSS variables (`--ink`, `--series-1`, ...), so that a page has a dark mode. Referenced
        identifiers get `prefix` and others are removed, so that several figures can share a page. Styles
        become attributes, so that a page need not allow inline styles.
        """
        body = self.svg[self.svg.index("<svg") :]
        body = re.sub(
            r"<metadata>.*?</metadata>|<style [^>]*>.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL
        )
        used = {match[1] for match in _REFERENCE.findall(body)}
        body = _IDENTIFIER.sub(lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", body)
        body = _REFERENCE.sub(lambda m: f"{m[1]}{prefix}-{m[2]}", body)
        body = _STYLE.sub(_attributes, body)
        for role, colour in ROLES.items():
            body = body.replace(colour, f"var(--{role})")
        opening, _, rest = body.partition(">")
        view = re.search(r'viewBox="0 0 ([\d.]+) [^"]*"', opening)
        # A narrow drawing would be scaled up, text included.
        narrow = " narrow" if view and float(view[1]) < _NARROW else ""
        label = html.escape(self.alt, quote=True)
        start = f'<svg class="drawing{narrow}" role="img" aria-label="{label}" {view[0] if view else ""}>'
        drawn, _, end = rest.rpartition("</svg>")
        return f"{start}{drawn}{self._spots()}</svg>{end}".strip()

    def _spots(self) -> str:
        """Return invisible circles whose titles browsers show as tooltips, even without scripts."""
        circles = (
            f'<circle cx="{spot.x:.1f}" cy="{spot.y:.1f}" r="6">'
            f"<title>{html.escape(spot.text)}</title></circle>"
            for spot in self.spots
        )
        return f'<g class="spots" fill-opacity="0">{"".join(circles)}</g>' if self.spots else ""


def _attributes(found: re.Match[str]) -> str:
    """Return a style's declarations as the SVG attributes of the same names."""
    pairs = (declaration.partition(":") for declaration in found[1].split(";") if declaration.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)


@contextmanager
def drawings() -> Iterator[list[Canvas]]:
    """Collect the drawings made within this context, to save them in other sizes and formats."""
    found: list[Canvas] = []
    token = _DRAWINGS.set(found)
    try:
        yield found
    finally:
        _DRAWINGS.reset(token)


def to_svg(canvas: Canvas) -> str:
    """Return a drawing as SVG without date or version, coordinates to a hundredth of a point."""
    if (found := _DRAWINGS.get()) is not None:
        found.append(canvas)
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    canvas.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    return _COORDINATES.sub(lambda found: _LONG_NUMBER.sub(_hundredths, found[0]), svg)


def spots(canvas: Canvas, marks: Iterable[tuple[Axes, float, float, str]]) -> tuple[Spot, ...]:
    """Return tooltips at marks of a drawing that has been saved; those outside their panel are left out.

    Args:
        canvas: the drawing, after `to_svg`.
        marks: panel, x and y in data units, and text.
    """
    width, height = (72.0 * inches for inches in canvas.get_size_inches())
    found = []
    for axes, x, y, text in marks:
        across, up = canvas.transFigure.inverted().transform(axes.transData.transform((x, y)))
        frame = axes.get_position()
        inside = frame.x0 - 0.01 <= across <= frame.x1 + 0.01 and frame.y0 - 0.01 <= up <= frame.y1 + 0.01
        if np.isfinite([across, up]).all() and inside:
            found.append(Spot(float(across) * width, (1.0 - float(up)) * height, text))
    return tuple(found)


def _hundredths(found: re.Match[str]) -> str:
    return f"{float(found[0]):.2f}"
