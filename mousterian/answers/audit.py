"""Compare a published equation with measurements, mixture by mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mousterian.answers.equivalence import equivalences
from mousterian.answers.measured import thinned, with_synthetic
from mousterian.fitting.published.equations import equation

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


def audit_equation(fit: Fit, against: str) -> pd.DataFrame:
    """Compare a published equation with what was measured.

    By the fitted surface, each measured mixture with synthetic images is worth some real images; the equation
    predicts how many synthetic ones these are worth. Of more than 24 base sizes, as many, evenly spaced.

    Args:
        fit: of a table, usually the one that the equation was derived from.
        against: "eq1" or "eq2".

    Returns:
        Columns n_base, n_syn_plus (measured), r_syn, n_real_plus, n_real_low, n_real_high (worth, by the
        fit), published (n_syn_plus by the equation), factor (published over measured) with factor_low and
        factor_high, and trust.
    """
    formula = equation(against)
    data = with_synthetic(fit.data[~fit.data["outlier"]])
    found = []
    for base in thinned(data["n_base"]):
        amounts = data.loc[data["n_base"] == base, "n_syn_plus"].unique()
        for syn, answer in zip(amounts, equivalences(fit, n_base=base, n_syn_plus=amounts), strict=True):
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
    """Return the median factor, 1 or more, by which an equation is off in the rows of an audit.

    Args:
        found: some rows, all of them comparable.
    """
    return float(np.exp(np.median(np.abs(np.log(found["factor"])))))
