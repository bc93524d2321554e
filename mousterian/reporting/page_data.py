"""What a page answers from when it is asked: each fit's draws, and the surfaces' formulas."""

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
    """Return the JavaScript of all surfaces that answers rest on; None if one cannot be translated."""
    names = {member.surface.name for fit in fits for member in fit.averaged.members}
    names |= {surface.name for fit in fits if fit.averaged.beyond for surface in fit.averaged.beyond.surfaces}
    return javascript.surfaces(sorted(names))


def as_data(fits: Mapping[str, Fit]) -> str:
    """Return fits as JSON that may stand inside a script element, each with its arm's place in the page.

    Every draw is there, so that the page answers with the same numbers as `mousterian equivalence`.
    """
    told = [{"anchor": anchor, **_fit(fit)} for anchor, fit in fits.items()]
    # A name may hold </script>; in JSON, any character may be written by its number.
    return json.dumps(told, allow_nan=False, separators=(",", ":"), ensure_ascii=False).replace(
        "<", "\\u003c"
    )


def _fit(fit: Fit) -> dict[str, Any]:
    averaged, rows = fit.averaged, fit.data
    base, real = typical_question(fit)
    tried = rows.groupby("n_base")["n_syn_plus"].max()
    return {
        "generator": generator(fit.labels),
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
        "beyond": _beyond(averaged.beyond) if averaged.beyond else None,
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


def _beyond(beyond: Extrapolation) -> dict[str, Any]:
    return {
        "surfaces": [surface.name for surface in beyond.surfaces],
        "thetas": [np.asarray(theta).tolist() for theta in beyond.thetas],
        "weights": beyond.weights.tolist(),
        "slopes": beyond.slopes.tolist(),
        "choice": beyond.choice.tolist(),
        "shocks": beyond.shocks.tolist(),
    }
