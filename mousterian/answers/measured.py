"""A fit's measured mixtures: base sizes, additions, and the equivalences at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mousterian.answers.equivalence import equivalences
from mousterian.errors import InputError
from mousterian.fitting.interval import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mousterian.fitting.result import Fit
    from mousterian.fitting.surface import Array


# More base sizes than this would not be distinguishable in a figure.
MOST_BASES = 6
# Base sizes, or ratios, that answers to all of a table's go through.
MOST_LISTED = 24


def base_sizes(fit: Fit, *, most: int = MOST_BASES) -> list[float]:
    """Return the base sizes to which synthetic images were added (else any); `most`, evenly spaced, if many.

    Raises:
        InputError: no base size is above zero.
    """
    data = fit.data[fit.data["n_base"] > 0]
    added = with_synthetic(data)
    bases = np.unique((added if len(added) else data)["n_base"].to_numpy(dtype=float))
    if not bases.size:
        raise InputError("no trial has base images, so nothing can be compared with adding real ones")
    return evenly(bases.tolist(), most)


def typical_question(fit: Fit) -> tuple[float, float]:
    """Return the measured (n_base, n_real_plus) to answer first.

    The real addition nearest to r_real = 1; among ties, that of the middle base size, preferring bases with
    real additions of their own. Where no real additions were measured: the middle base size, doubled.
    """
    data, bases = fit.data, base_sizes(fit)
    own = [base for base in bases if ((data["n_base"] == base) & (data["n_real_plus"] > 0)).any()]
    points: list[tuple[float, float]] = [
        (base, float(real)) for base in own or bases for real in np.unique(real_added(data, base)["added"])
    ] or [(base, base) for base in bases]
    distance = np.array([abs(np.log(real / base)) for base, real in points])
    nearest = np.flatnonzero(distance < distance.min() + 1e-9)
    return points[int(nearest[(len(nearest) - 1) // 2])]


def real_added(data: pd.DataFrame, n_base: float) -> pd.DataFrame:
    """Return the trials that add real images alone to a base, with their number in the column `added`.

    If there are none, larger bases alone serve instead: subsets are nested, so a base of m images is a base
    of n with m − n real ones added.
    """
    alone = data[data["n_syn_plus"] == 0]
    own = alone[(alone["n_base"] == n_base) & (alone["n_real_plus"] > 0)]
    found = own if len(own) else alone[alone["n_base"] + alone["n_real_plus"] > n_base]
    return found.assign(added=found["n_base"] + found["n_real_plus"] - n_base)


def synthetic_added(data: pd.DataFrame, n_base: float) -> pd.DataFrame:
    """Return the trials that add synthetic images alone to a base, their number in the column `added`."""
    found = data[(data["n_base"] == n_base) & (data["n_real_plus"] == 0) & (data["n_syn_plus"] > 0)]
    return found.assign(added=found["n_syn_plus"])


def base_alone(data: pd.DataFrame, n_base: float) -> pd.DataFrame:
    """Return the trials of a base with nothing added; `added` is 0."""
    found = data[(data["n_base"] == n_base) & (data["n_real_plus"] == 0) & (data["n_syn_plus"] == 0)]
    return found.assign(added=0.0)


def kinds_added(rows: pd.DataFrame) -> list[str]:
    """Return what each row adds to its base: "nothing", "real", "synthetic" or "both"."""
    real, synthetic = rows["n_real_plus"] > 0, rows["n_syn_plus"] > 0
    kinds = np.select([real & synthetic, real, synthetic], ["both", "real", "synthetic"], "nothing")
    return [str(kind) for kind in kinds]


def evenly(values: Sequence[float], most: int) -> list[float]:
    """Return at most `most` of the values in order, evenly spaced, the first and the last among them."""
    kept = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    return [values[index] for index in kept]


def thinned(values: pd.Series[float]) -> Array:
    """Return the distinct values in order, `MOST_LISTED` of more, evenly spaced."""
    return np.array(evenly(np.unique(values.to_numpy(dtype=float)).tolist(), MOST_LISTED))


def equivalents(fit: Fit, n_base: float, n_real_plus: Iterable[float]) -> pd.DataFrame:
    """Return the equivalence at each n_real_plus: columns n_base, n_real_plus, n_syn_plus, low, high, trust.

    n_syn_plus and its interval are NaN where unreachable; high may be infinite.
    """
    rows = []
    asked = list(n_real_plus)
    for real, found in zip(asked, equivalences(fit, n_base=n_base, n_real_plus=asked), strict=True):
        syn = found.n_syn_plus
        ends = (syn.estimate, syn.low, syn.high) if isinstance(syn, Interval) else (np.nan, np.nan, np.nan)
        rows.append((n_base, real, *ends, found.trust))
    return pd.DataFrame(rows, columns=["n_base", "n_real_plus", "n_syn_plus", "low", "high", "trust"])


def with_synthetic(data: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that add synthetic images to a base, whether or not they add real ones."""
    return data[(data["n_syn_plus"] > 0) & (data["n_base"] > 0)]


def has_synthetic(data: pd.DataFrame) -> bool:
    """Return whether any trial adds synthetic images to a base."""
    return not with_synthetic(data).empty


def synthetic_tried(data: pd.DataFrame) -> dict[float, tuple[float, float]]:
    """Return the fewest and the most synthetic images measured at each base, outliers excluded."""
    rows = data[~data["outlier"].to_numpy(dtype=bool) & (data["n_syn_plus"] > 0).to_numpy()]
    found = rows.groupby("n_base")["n_syn_plus"].agg(["min", "max"])
    return {
        float(base): (float(least), float(most))
        for base, (least, most) in zip(found.index, found.to_numpy(), strict=True)
    }
