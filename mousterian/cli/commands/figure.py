"""`mousterian figure`: write one figure of a fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.commands import EXIT_DONE, FIGURES
from mousterian.cli.console import print_json

if TYPE_CHECKING:
    from mousterian.reporting.drawing import Figure


def figure(
    fit: Path,
    name: str,
    *,
    out: Path | None = None,
    width: str = "double",
    option: Sequence[str] = (),
    store: Path | None = None,
    beside: Sequence[Path] = (),
    json: bool = False,
) -> int:
    """Write one figure of a fit as SVG, PDF or PNG, in the width of a paper's column.

    Parameters
    ----------
    fit
        A saved fit.
    name
        Name of the figure; `mousterian list figures` shows them.
    out
        The file, ending in .svg, .pdf or .png; default: results/figures/NAME.pdf.
    width
        single (3.25 inches), double (6.75), or a number of inches.
    option
        KEY=VALUE: an option of the figure, e.g. n_base=5000; may be repeated.
    store
        The store of the fit's trials: for figures of its trials and pools, such as per_class_gains,
        pool_quality, feature_subspace and device_time.
    beside
        Another arm's saved fit, drawn beside this one (equivalence_curve); may be repeated.
    json
        Print title, caption, alternative text and the numbers drawn as JSON.
    """
    from mousterian.answers.fit_file import read_fits
    from mousterian.reporting import figure_file

    path = out or FIGURES / f"{name}.pdf"
    inches = figure_file.width_of(width)  # before the fits are read
    first, *others = read_fits([fit, *beside])
    drawn = figure_file.print_figure(
        first,
        name,
        path,
        width=inches,
        options=tuple(option),
        store=str(store or ""),
        beside=others,
    )
    if json:
        return print_json(_described(drawn, path))
    print(f"{drawn.title}: {path}\n{drawn.caption}")
    return EXIT_DONE


def _described(figure: Figure, path: Path) -> dict[str, Any]:
    """Return what --json prints; missing numbers are null."""
    texts = {"title": figure.title, "caption": figure.caption, "alt": figure.alt}
    return {"path": str(path), **texts, "data": json.loads(figure.data.to_json(orient="records"))}
