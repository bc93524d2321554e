"""Quality of an arm's synthetic images, as measured by `mousterian quality`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes

from mousterian.answers.numbers import number, scientific
from mousterian.errors import InputError, unknown_name
from mousterian.reporting.arm_trials import arm_rows
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import PAPER, SERIES, panels, style, title
from mousterian.store.quality import QualityTable, of_whole_pools

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 12  # in a report
_MOST = 9
_FIRST = ("fid", "kid", "inception_score", "precision", "recall")
_SHOWN = ["pool", "quantity", "features", "trained_on", "n_base", "n_upstream", "images", "value", "place"]


def draw(fit: Fit, *, store: str = "", quantity: str = "") -> Figure:
    """Draw each measured quantity of the arm's pools in its own panel (mousterian paper, Fig. 4).

    Args:
        fit: of an arm of the store.
        store: folder of the store, with the measurements of `mousterian quality`.
        quantity: draw this one alone, e.g. fid; by default up to nine.

    Raises:
        InputError: there is no store, its pools have not been measured, or not for that quantity.
    """
    pools = set(arm_rows(fit, store)["pool"].dropna())
    found = of_whole_pools(QualityTable(store).read())
    found = found[found["pool"].isin(pools)].sort_values(["images", "finished_at"])
    if found.empty:
        raise InputError("the pools of this arm have not been measured", hint="run `mousterian quality`")
    if quantity and quantity not in set(found["quantity"]):
        raise unknown_name("measured quantity", quantity, set(found["quantity"]), where=store)
    found = found[found["quantity"] == quantity] if quantity else found
    found = found.drop_duplicates(["pool", "quantity", "features"], keep="last")
    data = found.assign(place=[_place(row) for row in found.to_dict("records")])[_SHOWN].sort_values(
        ["quantity", "features", "n_base", "pool"], ignore_index=True
    )
    shown = _shown(data)
    with style():
        canvas, axes, inches = panels(len(shown), height=1.9, above=0.2, sharey=False)
        marks: list[tuple[Axes, float, float, str]] = []
        for axis, (name, features) in zip(axes, shown, strict=True):
            part = data[(data["quantity"] == name) & (data["features"] == features)]
            title(axis, name.replace("_", " ") + (f"\nin {features}" if features else ""), inches=inches)
            marks += _draw_panel(axis, part)
        svg = to_svg(canvas)
        spotted = spots(canvas, marks)
    return Figure(svg, "Quality of the synthetic images", _caption(data, shown), _alt(data), data, spotted)


def _draw_panel(axis: Axes, part: pd.DataFrame) -> list[tuple[Axes, float, float, str]]:
    """Draw one quantity and return its marks."""
    places = sorted(set(part["place"]), key=part["place"].to_list().index)
    x = [float(places.index(place)) for place in part["place"]]
    axis.plot(
        x, part["value"], linestyle="", marker="o", markersize=5, color=SERIES[0], markeredgecolor=PAPER
    )
    axis.set_xticks(range(len(places)), places)
    axis.set_xlim(-0.5, len(places) - 0.5)
    return [(axis, at, row["value"], _said(row)) for at, row in zip(x, part.to_dict("records"), strict=True)]


def _shown(data: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the quantities shown with their feature spaces, the best known first."""
    every = set(zip(data["quantity"], data["features"], strict=True))
    rank = {name: index for index, name in enumerate(_FIRST)}
    return sorted(every, key=lambda each: (rank.get(each[0], len(rank)), each))[:_MOST]


def _place(row: dict[Hashable, Any]) -> str:
    """Return what the pool's generator was trained on, for an axis."""
    size = {"base": row["n_base"], "upstream": row["n_upstream"]}.get(row["trained_on"])
    return f"{number(size)}\n{row['trained_on']}" if size else f"trained\n{row['trained_on']}"


def _said(row: dict[Hashable, Any]) -> str:
    where = " ".join(row["place"].split())
    return f"{row['quantity']} {scientific(row['value'], 4)}: {number(row['images'])} images, {where}"


def _caption(data: pd.DataFrame, shown: list[tuple[str, str]]) -> str:
    said = (
        "What was measured of the pools, by what their generator was trained on. Distances hold in the "
        "feature space that is named, and are compared in no other."
    )
    left = len(set(zip(data["quantity"], data["features"], strict=True))) - len(shown)
    return said + (f" {left} more quantities are in the table." if left else "")


def _alt(data: pd.DataFrame) -> str:
    said = [
        f"{quantity} from {scientific(part['value'].min())} to {scientific(part['value'].max())}"
        for quantity, part in list(data.groupby("quantity", sort=True))[:4]
    ]
    return f"Dots of the quality of {data['pool'].nunique()} pools: {'; '.join(said)}."
