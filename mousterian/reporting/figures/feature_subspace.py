"""Real and synthetic images as points of one plane of features (mousterian paper, Fig. 1 b)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from mousterian.answers.measured import typical_question
from mousterian.answers.numbers import number
from mousterian.errors import InputError
from mousterian.reporting.arm_trials import arm_rows
from mousterian.reporting.drawing import Figure, to_svg
from mousterian.reporting.style import REAL, SYNTHETIC, legend, sheet, style
from mousterian.store.quality import QualityTable, of_whole_pools

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 10  # in a report
_SPREAD = 2.0  # radius of an ellipse, in standard deviations
# Colour, marker and the line of the ellipse.
_LOOKS = {"real": (REAL, "o", "-"), "synthetic": (SYNTHETIC, "s", "--")}


def draw(fit: Fit, *, store: str = "", n_base: float | None = None, points: int = 250) -> Figure:
    """Draw real and synthetic images on the first two principal components of their joint features.

    Args:
        fit: of an arm of the store.
        store: folder of the store, with measurements of `mousterian quality --measure subspace`.
        n_base: base size whose pool is drawn; by default the one that a report answers first.
        points: most images of each kind drawn; the ellipses are of all saved ones.

    Raises:
        InputError: there is no store, or the pool's subspace has not been measured.
    """
    rows = arm_rows(fit, store)
    base = n_base or typical_question(fit)[0]
    pools = set(rows.loc[rows["n_base"] == base, "pool"].dropna()) - {""}
    found = of_whole_pools(QualityTable(store).read())
    found = found[(found["measure"] == "subspace") & found["pool"].isin(pools)]
    if found.empty:
        raise InputError(
            f"no pool of this arm at {number(base)} base images has its subspace measured",
            where=store,
            hint="run `mousterian quality --measure subspace`",
        )
    latest = found.sort_values(["images", "finished_at"]).iloc[-1]
    measured = found[found["measurement"] == latest["measurement"]].set_index("quantity")["value"]
    saved = _points(store, str(latest["measurement"]))
    data = saved.groupby("kind", sort=True).head(points).reset_index(drop=True)
    with style():
        canvas = sheet(4.2, usual=4.6)
        axes = canvas.subplots()
        for kind in _LOOKS:
            _draw(axes, data[data["kind"] == kind], saved[saved["kind"] == kind], kind)
        axes.set(xlabel="First principal component", ylabel="Second principal component")
        axes.set_aspect("equal", adjustable="datalim")
        legend(canvas, axes.get_legend_handles_labels()[0], most=2)
        svg = to_svg(canvas)
    title = f"Real and synthetic images in the features of {latest['features']}"
    return Figure(svg, title, _caption(latest, measured), _alt(saved, measured), data)


def _points(store: str, measurement: str) -> pd.DataFrame:
    path: Path = QualityTable(store).points_file(measurement)
    try:
        table = pd.read_parquet(path)
        kind = np.where(table["synthetic"], "synthetic", "real")
        return table.assign(kind=kind)[["kind", "label", "x", "y"]]
    except (OSError, ValueError, KeyError) as error:
        hint = "run `mousterian quality --measure subspace --again`"
        raise InputError(
            f"the points of the picture cannot be read ({error})", where=str(path), hint=hint
        ) from error


def _draw(axes: Axes, part: pd.DataFrame, saved: pd.DataFrame, kind: str) -> None:
    colour, marker, line = _LOOKS[kind]
    axes.plot(
        part["x"], part["y"], linestyle="", marker=marker, markersize=2.6, markeredgewidth=0,
        color=colour, alpha=0.55, label=kind,
    )  # fmt: skip
    lengths, directions = np.linalg.eigh(np.cov(saved[["x", "y"]].to_numpy(dtype=float), rowvar=False))
    width, height = 2 * _SPREAD * np.sqrt(np.maximum(lengths[::-1], 0))
    turned = float(np.degrees(np.arctan2(directions[1, 1], directions[0, 1])))
    centre = (float(saved["x"].mean()), float(saved["y"].mean()))
    outline = Ellipse(
        centre, width, height, angle=turned, fill=False, edgecolor=colour, linewidth=1.6, linestyle=line
    )
    axes.add_patch(outline)


def _caption(latest: pd.Series[Any], measured: pd.Series[float]) -> str:
    own = measured["subspace_overlap"], measured["subspace_overlap_of_test"]
    return (
        "Each dot is an image on the first two principal components of real and synthetic features together,"
        f" in the space {latest['features']}; each ellipse reaches {_SPREAD:g} standard deviations of its"
        f" kind. The subspaces of the two kinds' first components overlap by {own[0]:.2f} (1 is the same one;"
        f" real test images reach {own[1]:.2f}), and the synthetic one holds"
        f" {100 * measured['real_variance_in_synthetic']:.0f} % of the variance of real images that theirs"
        " holds."
    )


def _alt(saved: pd.DataFrame, measured: pd.Series[float]) -> str:
    centres = saved.groupby("kind")[["x", "y"]].mean()
    spread = float(np.sqrt(saved.loc[saved["kind"] == "real", ["x", "y"]].var().sum()))
    apart = float(np.linalg.norm(centres.loc["real"] - centres.loc["synthetic"])) / spread
    return (
        f"Dots of real and synthetic images in a plane of features: their centres are {apart:.2f} of the real"
        f" images' spread apart, and their subspaces overlap by {measured['subspace_overlap']:.2f}."
    )
