"""The published equivalence equations, and how far they are from a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mousterian.equivalence import equivalence
from mousterian.errors import unknown_name

if TYPE_CHECKING:
    from mousterian.equivalence import Fit


@dataclass(frozen=True)
class Equation:
    """n_syn_plus/n_base = c·g^(n_base/τ)·(h^(n_real_plus/(k·n_base)) − 1), as printed."""

    source: str
    table: str
    c: float
    g: float
    tau: float
    h: float
    k: float

    def __call__(self, n_base: float, n_real_plus: float) -> float:
        """Return n_syn_plus by the equation; inf where it overflows."""
        with np.errstate(over="ignore"):
            growth = np.power(self.g, n_base / self.tau)
            return float(
                n_base * self.c * growth * np.expm1(math.log(self.h) * n_real_plus / (self.k * n_base))
            )


EQUATIONS: Mapping[str, Equation] = {
    "eq1": Equation(
        "Mousterian, Eq. 1 (internal generator)", "mousterian/table-3", 0.6, 9.8, 15571.2, 1.3, 0.2
    ),
    "eq2": Equation(
        "Mousterian, Eq. 2 (external generator)", "mousterian/table-4-sd3", 4.0, 1.3, 15571.2, 1.1, 0.3
    ),
}


def equation(name: str) -> Equation:
    """Return the published equation `eq1` or `eq2`.

    Raises:
        InputError: there is none of that name.
    """
    if name not in EQUATIONS:
        raise unknown_name("published equation", name, EQUATIONS)
    return EQUATIONS[name]


def audit(fit: Fit, against: str) -> pd.DataFrame:
    """Compare a published equation with what was measured.

    Each mixture of the fit's data with synthetic images is worth some real images by the fitted surface;
    the equation says how many synthetic ones those are worth.

    Args:
        fit: of a table, usually the one that the equation was made from.
        against: "eq1" or "eq2".

    Returns:
        Columns n_base, n_syn_plus (measured), r_syn, n_real_plus, n_real_low, n_real_high (worth, by the
        fit), published (n_syn_plus by the equation), factor (published over measured) with factor_low and
        factor_high, and trust.
    """
    formula = equation(against)
    data = fit.data[~fit.data["outlier"] & (fit.data["n_syn_plus"] > 0) & (fit.data["n_base"] > 0)]
    found = []
    for base, syn in data[["n_base", "n_syn_plus"]].drop_duplicates().itertuples(index=False):
        answer = equivalence(fit, n_base=base, n_syn_plus=syn)
        worth = answer.n_real_plus
        if worth is None or isinstance(worth, float):
            continue
        estimate, low, high = (formula(base, real) for real in (worth.estimate, worth.low, worth.high))
        measured = (base, syn, syn / base, worth.estimate, worth.low, worth.high)
        found.append((*measured, estimate, estimate / syn, low / syn, high / syn, answer.trust))
    columns = ["n_base", "n_syn_plus", "r_syn", "n_real_plus", "n_real_low", "n_real_high"]
    return pd.DataFrame(
        found, columns=[*columns, "published", "factor", "factor_low", "factor_high", "trust"]
    )


def comparable(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of an audit whose synthetic images are worth real ones; others have no factor."""
    return found[found["factor"] > 0]


def typical_factor(found: pd.DataFrame) -> float:
    """Return by which factor, 1 or more, an equation is typically off in the rows of an audit: the median.

    Args:
        found: some rows, all of them comparable.
    """
    return float(np.exp(np.median(np.abs(np.log(found["factor"])))))
