"""Data of the page's calculator: each fit's draws, and the surfaces' formulas in JavaScript."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mousterian.answers.measured import synthetic_tried, typical_question
from mousterian.answers.wording import generator
from mousterian.reporting import javascript

if TYPE_CHECKING:
    from mousterian.fitting.extrapolation import Extrapolation
    from mousterian.fitting.model_average import ModelAverage
    from mousterian.fitting.result import Fit


def formulas(fits: Sequence[Fit]) -> str | None:
    """Return the JavaScript of all surfaces in the fits' averages; None if one cannot be translated."""
    names = {member.surface.name for fit in fits for member in fit.averaged.members}
    names |= {
        surface.name
        for fit in fits
        if fit.averaged.extrapolation
        for surface in fit.averaged.extrapolation.surfaces
    }
    return javascript.surfaces(sorted(names))


def as_data(fits: Mapping[str, Fit]) -> str:
    """Return fits as JSON that is safe inside a script element, each with its arm's anchor in the page.

    It has every draw, so that the page gives the same numbers as `mousterian equivalence`.
    """
    arms = [{"anchor": anchor, **_fit(fit)} for anchor, fit in fits.items()]
    # A name may contain </script>; JSON can escape any character.
    return json.dumps(arms, allow_nan=False, separators=(",", ":"), ensure_ascii=False).replace(
        "<", "\\u003c"
    )


def _fit(fit: Fit) -> dict[str, Any]:
    averaged, rows = fit.averaged, fit.data
    base, real = typical_question(fit)
    tried = rows.groupby("n_base")["n_syn_plus"].max()
    return {
        "generator": generator(fit.labels),
        "conditional": fit.conditional,
        "first": {"n_base": base, "n_real_plus": real, "n_syn_plus": real},
        "least_base": float(rows.loc[rows["n_base"] > 0, "n_base"].min()),
        "most_base": float(rows["n_base"].max()),
        "tried": {
            f"{size:.15g}": most
            for size, most in zip(tried.index.astype(float), tried.to_list(), strict=True)
        },
        "sound": {f"{size:.15g}": ends for size, ends in synthetic_tried(rows).items()},
        "most_real": averaged.most_real,
        "most_synthetic": averaged.most_synthetic,
        "measured": {
            "real": list(fit.measured.real),
            "bases": fit.measured.bases.tolist(),
            "synthetic": fit.measured.synthetic.tolist(),
        },
        "members": _members(averaged),
        "beyond": _extrapolation(averaged.extrapolation) if averaged.extrapolation else None,
    }


def _members(averaged: ModelAverage) -> list[dict[str, Any]]:
    return [
        {
            "surface": member.surface.name,
            "weight": member.weight,
            "theta": member.theta.tolist(),
            "draws": member.draws.tolist(),
        }
        for member in averaged.members
    ]


def _extrapolation(found: Extrapolation) -> dict[str, Any]:
    return {
        "surfaces": [surface.name for surface in found.surfaces],
        "thetas": [np.asarray(theta).tolist() for theta in found.thetas],
        "weights": found.weights.tolist(),
        "slopes": found.slopes.tolist(),
        "choice": found.choice.tolist(),
        "shocks": found.shocks.tolist(),
    }
