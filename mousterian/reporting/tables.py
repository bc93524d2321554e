"""A report's tables: the results of a fit as rows of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mousterian.answers.comparison import multiplicity
from mousterian.answers.measured import base_sizes, evenly, real_added
from mousterian.answers.numbers import (
    counts,
    number,
    percent,
    percents,
    rates,
    ratios,
    scientific,
    signed,
    times,
)
from mousterian.answers.wording import Answer, compared
from mousterian.fitting.interval import Interval
from mousterian.fitting.surface import load

if TYPE_CHECKING:
    import pandas as pd

    from mousterian.answers.formula import Formula
    from mousterian.fitting.result import Fit, SurfaceFit
    from mousterian.reporting.drawing import Figure


# Most real additions shown per base size.
_MOST_ADDED = 6
_SOURCES = ("trials", "surface")
_NOISE = {
    "test_set": "finite test set",
    "seed": "training seed",
    "subset": "choice of subset, and what the surface misses at a base size",
    "trial": "one trial to the next",
}


@dataclass(frozen=True)
class Table:
    """A table of texts: caption, column headers, rows, and the number of columns that are row headers."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    heads: int = 1


def points_of(fit: Fit) -> list[tuple[float, float]]:
    """Return the (n_base, n_real_plus) that a report answers: as measured, or the base doubled."""
    points = []
    for base in base_sizes(fit):
        added = np.unique(real_added(fit.data, base)["added"].to_numpy(dtype=float))
        added = added if added.size else np.array([base])
        points += [(base, real) for real in evenly(added.tolist(), _MOST_ADDED)]
    return points


def equivalence_table(answers: Sequence[Answer]) -> Table:
    """Return the equivalence of each real addition."""
    rows = []
    for found in answers:
        equivalence, real = found.equivalence, found.n_real_plus
        if equivalence is None:
            continue
        syn = equivalence.n_syn_plus
        rate = "–"
        if isinstance(syn, Interval):
            rate = rates(Interval(*(part / real for part in (syn.estimate, syn.low, syn.high))))
        rows.append(
            (
                number(equivalence.n_base),
                f"{number(real)} ({times(real / equivalence.n_base)})",
                found.cell,
                rate,
                percents(equivalence.accuracy),
                equivalence.trust,
            )
        )
    conditional = _conditional(answers)
    return Table(
        "How many synthetic images, added alone, do what the real ones do; 95 % intervals"
        f"{conditional and f', {conditional},'} in brackets. "
        "Range: whether the answer lies inside what was measured.",
        ("Base images", "Real images added", "Worth in synthetic", "Synthetic per real", "Accuracy", "Range"),
        rows,
        heads=2,
    )  # fmt: skip


def comparison(arms: Sequence[tuple[str, Sequence[Answer]]]) -> Table:
    """Return several arms' equivalences side by side."""
    cells: dict[tuple[float, float], dict[int, str]] = {}
    for index, (_, answers) in enumerate(arms):
        for found in answers:
            equivalence = found.equivalence
            if equivalence is None:
                continue
            shown = counts(syn) if isinstance(syn := equivalence.n_syn_plus, Interval) else "not reachable"
            note = "" if equivalence.trust == "inside" else f" · {equivalence.trust}"
            cells.setdefault((equivalence.n_base, found.n_real_plus), {})[index] = shown + note
    rows = [
        (
            number(base),
            f"{number(real)} ({times(real / base)})",
            *(by_arm.get(index, "not asked") for index in range(len(arms))),
        )
        for (base, real), by_arm in sorted(cells.items())
    ]
    return Table(
        "Synthetic images that the added real ones are worth, with 95 % intervals, in each arm.",
        ("Base images", "Real images added", *(_heading(name, answers) for name, answers in arms)),
        rows,
        heads=2,
    )


def _heading(name: str, answers: Sequence[Answer]) -> str:
    """Return an arm's name with what its answers are conditional on."""
    conditional = _conditional(answers)
    return f"{name} ({conditional})" if conditional else name


def _conditional(answers: Sequence[Answer]) -> str:
    return next((found.equivalence.conditional for found in answers if found.equivalence), "")


def difference_table(found: pd.DataFrame) -> Table:
    """Return the differences of arms, at each base with the most synthetic images that both have."""
    most = found.groupby(["first", "second", "n_base"])["n_syn_plus"].transform("max")
    rows = [compared(row) for row in found[found["n_syn_plus"] == most].to_dict("records")]
    return Table(
        "Arms at equal counts, at each base size with the most synthetic images that both have: accuracy of"
        " the first less that of the second, and the real images that these synthetic ones are worth in the"
        " first over those in the second; 95 % intervals in brackets. Paired by seed and draw unless said."
        f" {multiplicity(found)} The command mousterian compare prints all of them.",
        ("Arms", "Base images", "Added", "Points of accuracy", "p (Holm)", "Ratio of worth"),
        [tuple(row.values()) for row in rows],
        heads=3,
    )


def ratio_table(ratio: pd.DataFrame) -> Table | None:
    """Return the improvement ratio of each base size and r, from trials and from the surface."""
    if ratio.empty:
        return None
    rows = []
    for base, r in ratio[["n_base", "r"]].drop_duplicates().sort_values(["n_base", "r"]).to_numpy():
        here = ratio[(ratio["n_base"] == base) & (ratio["r"] == r)].set_index("source")
        found = {
            source: ratios(Interval(row["ratio"], row["low"], row["high"])) + _unmeasured(row["basis"])
            for source, row in here.iterrows()
        }
        rows.append((number(base), times(r), *(found.get(source, "–") for source in _SOURCES)))
    return Table(
        "Improvement ratio (Eq. 3): accuracy gained from r synthetic images for each base image, over that "
        "gained from as many real ones; 95 % intervals in brackets. Interpolated or extrapolated: both "
        "additions were not measured at that r, so the curve's form decides.",
        ("Base images", "r", "From the trials", "From the surface"),
        rows,
        heads=2,
    )


def _unmeasured(basis: str) -> str:
    return "" if basis == "measured" else f" · {basis}"


def identified_table(formula: Formula) -> Table:
    """Return the three identifiable numbers of the papers' formula."""
    rows = [
        (name, meaning, scientific(value.estimate), _span(value))
        for name, meaning, value in (
            ("c", "synthetic images for each base image, at vanishing base size", formula.c),
            ("ln(g) / τ", "growth with each further base image", formula.log_g_per_image),
            ("ln(h) / k", "growth with each further r_real", formula.log_h_per_r_real),
        )
    ]
    return Table(
        "The numbers that the data determine; g, τ, h and k by themselves are only units.",
        ("Number", "What it says", "Estimate", "95 % interval"),
        rows,
    )


def surface_table(surfaces: Sequence[SurfaceFit]) -> Table:
    """Return each surface's weight and errors."""
    rows = [
        (
            surface.name,
            "referee" if load(surface.name).nonparametric else percent(surface.weight),
            signed(surface.aicc, 1),
            _points(surface.cv_rmse),
            _points(surface.rmse),
        )
        for surface in surfaces
    ]
    return Table(
        "Surfaces fitted, heaviest first. Every answer is their average by weight; intervals span them all. "
        "Errors are in percentage points of accuracy. A referee takes no part: where it predicts held-out "
        "cells much better, the surfaces miss something.",
        ("Surface", "Weight", "AICc", "Held-out error", "Error on the rows"),
        rows,
    )


def parameter_table(surface: SurfaceFit) -> Table:
    """Return one surface's parameters."""
    rows = [(name, scientific(value.estimate), _span(value)) for name, value in surface.parameters.items()]
    return Table(f"Parameters of {surface.name}.", ("Parameter", "Estimate", "95 % interval"), rows)


def noise_table(components: Mapping[str, float]) -> Table:
    """Return the standard deviation of one trial's accuracy, by cause."""
    rows = [(_NOISE.get(name, name.replace("_", " ")), _points(value)) for name, value in components.items()]
    return Table(
        "How far the accuracy of one trial strays, by cause (standard deviation, percentage points).",
        ("Cause", "Standard deviation"),
        rows,
    )


def outlier_table(outliers: Sequence[tuple[dict[str, Any], float, str]]) -> Table | None:
    """Return the outliers."""
    if not outliers:
        return None
    rows = [
        (
            *(number(row[name]) for name in ("n_base", "n_real_plus", "n_syn_plus")),
            percent(row["accuracy"], 2),
            signed(z, 1),
            reason,
        )
        for row, z, reason in outliers
    ]
    return Table(
        "Trials that no surface can explain. They are set aside: no answer rests on them.",
        ("Base images", "Real added", "Synthetic added", "Accuracy", "Usual residuals off", "Why"),
        rows,
        heads=3,
    )


def figure_table(figure: Figure) -> Table:
    """Return the numbers drawn in a figure."""
    rows = [tuple(_shown(value) for value in row) for row in figure.data.itertuples(index=False, name=None)]
    return Table(f"Data of the figure “{figure.title}”.", tuple(map(str, figure.data.columns)), rows)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    value = float(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return signed(value)
    return (
        number(value).replace("-", "−") if value == int(value) or abs(value) >= 1000 else scientific(value, 4)
    )


def _points(value: float) -> str:
    """Write a standard deviation of accuracy in percentage points."""
    return signed(100 * value)


def _span(interval: Interval) -> str:
    low, high = (scientific(float(end)) for end in (interval.low, interval.high))
    return "not determined" if (low, high) == ("−∞", "∞") else f"{low} to {high}"
