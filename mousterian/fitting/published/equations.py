"""The published equivalence equations, Eq. 1 and 2.

The paper derives each equation from an accuracy function fitted first, and states neither function. Eq. 1 is
from the data of Table 3; Eq. 2 goes with Fig. 2 b, whose base of 26,000 images Table 5 alone has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mousterian.errors import unknown_name


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
        "Mousterian, Eq. 2 (external generator)", "mousterian/table-5", 4.0, 1.3, 15571.2, 1.1, 0.3
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
