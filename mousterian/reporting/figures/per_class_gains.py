"""The gain of each class from synthetic and from real images."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mousterian.answers.measured import typical_question
from mousterian.answers.numbers import number, signed
from mousterian.errors import InputError
from mousterian.reporting.arm_trials import arm_rows
from mousterian.reporting.drawing import Figure, spots, to_svg
from mousterian.reporting.style import INK, PAPER, REAL, RULE, SYNTHETIC, legend, sheet, style

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


PLACE = 11  # in a report
# Most classes shown: those that gain most and those that lose most.
_MOST = 24
_LOOKS = {"real": (REAL, "o"), "synthetic": (SYNTHETIC, "s")}


def draw(fit: Fit, *, store: str = "", n_base: float | None = None) -> Figure:
    """Draw, for each class, the accuracy gained by the most synthetic and by the most real images added.

    Args:
        fit: of an arm of the store.
        store: folder of the store, which has the accuracy of each class.
        n_base: base size; by default the one that a report answers first.

    Raises:
        InputError: there is no store, or nothing was added to this base size.
    """
    rows = arm_rows(fit, store)
    rows = rows[rows["per_class"].notna() & (rows["n_base"] == (n_base or typical_question(fit)[0]))]
    base = rows[(rows["n_real_plus"] == 0) & (rows["n_syn_plus"] == 0)]
    added = {
        "real": _most(rows[rows["n_syn_plus"] == 0], "n_real_plus"),
        "synthetic": _most(rows[rows["n_real_plus"] == 0], "n_syn_plus"),
    }
    if base.empty or all(part.empty for part in added.values()):
        raise InputError("no per-class accuracies at this base size alone and with images added")
    data = pd.concat(
        [_gains(base, part, kind) for kind, part in added.items() if len(part)], ignore_index=True
    )
    shown = _chosen(data)
    with style():
        canvas = sheet(0.9 + 0.2 * len(shown))
        axes = canvas.subplots()
        _draw(axes, data, shown)
        legend(canvas, _legend(data), most=2)
        svg = to_svg(canvas)
        marked = data[data["label"].isin(shown)].to_dict("records")
        places = spots(canvas, ((axes, *_mark(row, shown)) for row in marked))
    title = f"What each class gains at {number(float(rows['n_base'].iloc[0]))} base images"
    return Figure(svg, title, _caption(len(shown) < data["label"].nunique()), _alt(data), data, places)


def _mark(row: dict[Hashable, Any], shown: list[int]) -> tuple[float, float, str]:
    """Return the place and the tooltip of a class's gain."""
    gain = 100 * row["gain"]
    said = f"class {row['label']}: {signed(gain, 1)} points from {number(row['images'])} {row['added']}"
    return gain, float(shown.index(row["label"])), said


def _most(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    rows = rows[rows[column] > 0]
    return rows[rows[column] == rows[column].max()] if len(rows) else rows


def _gains(base: pd.DataFrame, added: pd.DataFrame, kind: str) -> pd.DataFrame:
    before, after = (np.nanmean(np.stack(part["per_class"].to_list()), axis=0) for part in (base, added))
    images = float(added["n_real_plus" if kind == "real" else "n_syn_plus"].iloc[0])
    columns = {"label": range(len(before)), "added": kind, "images": images, "before": before, "after": after}
    return pd.DataFrame({**columns, "gain": after - before})


def _chosen(data: pd.DataFrame) -> list[int]:
    """Return the classes shown, by falling gain from synthetic images."""
    kind = "synthetic" if (data["added"] == "synthetic").any() else "real"
    order = (
        data[data["added"] == kind].sort_values(["gain", "label"], ascending=[False, True])["label"].to_list()
    )
    return order if len(order) <= _MOST else [*order[: _MOST // 2], *order[-_MOST // 2 :]]


def _draw(axes: Axes, data: pd.DataFrame, shown: list[int]) -> None:
    axes.axvline(0, color=INK, linewidth=0.9)
    for place, label in enumerate(shown):
        gains = 100 * data.loc[data["label"] == label, "gain"]
        axes.hlines(place, min(gains.min(), 0), max(gains.max(), 0), color=RULE, linewidth=0.8)
    for kind, (colour, marker) in _LOOKS.items():
        part = data[(data["added"] == kind) & data["label"].isin(shown)]
        places = [shown.index(label) for label in part["label"]]
        axes.plot(100 * part["gain"], places, linestyle="", marker=marker, markersize=5, color=colour,
                  markeredgecolor=PAPER, markeredgewidth=0.6, zorder=3)  # fmt: skip
    axes.set_yticks(range(len(shown)), [f"class {label}" for label in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel("Accuracy gained (percentage points)")
    axes.grid(visible=False, axis="y")


def _legend(data: pd.DataFrame) -> list[Line2D]:
    handles = []
    for kind, (colour, marker) in _LOOKS.items():
        part = data[data["added"] == kind]
        if len(part):
            label = f"{number(part['images'].iloc[0])} {kind} images added"
            handles.append(
                Line2D([], [], linestyle="", marker=marker, markersize=5, color=colour, label=label)
            )
    return handles


def _caption(cut: bool) -> str:
    said = (
        "How far each class's accuracy rises over that of the base alone, with the most synthetic and the "
        "most real images that were added to it; means over trials. Classes are numbered in label order, "
        "those that synthetic images help most first."
    )
    return said + (" Those in the middle are left out; the table has all." if cut else "")


def _alt(data: pd.DataFrame) -> str:
    said = []
    for kind, part in data.groupby("added", sort=True):
        gains = part["gain"].to_numpy()
        best, worst = part.iloc[int(gains.argmax())], part.iloc[int(gains.argmin())]
        said.append(
            f"{kind} images gain from {signed(100 * worst['gain'], 1)} points (class {worst['label']}) to "
            f"{signed(100 * best['gain'], 1)} (class {best['label']})"
        )
    return f"Dots of the accuracy that classes gain: {'; '.join(said)}."
