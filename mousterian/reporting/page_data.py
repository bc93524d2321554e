"""Data of the page's calculator: each fit's curves, and what its sentences need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mousterian.answers.measured import synthetic_tried, typical_question
from mousterian.answers.wording import generator, harm, reached
from mousterian.reporting.curves import curves

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit


# Characters that all draws of a page may take: a page has figures and tables too, and stays below 2 MB.
_DRAWS = 640_000


def as_data(fits: Mapping[str, Fit]) -> str:
    """Return fits as JSON that is safe inside a script element, each with its arm's anchor in the page.

    It has every draw, so that the page gives the same numbers as `mousterian equivalence`.
    """
    arms = [{"anchor": anchor, **_fit(fit, _DRAWS // len(fits))} for anchor, fit in fits.items()]
    # A name may contain </script>; JSON can escape any character.
    return json.dumps(arms, allow_nan=False, separators=(",", ":"), ensure_ascii=False).replace(
        "<", "\\u003c"
    )


def _fit(fit: Fit, size: int) -> dict[str, Any]:
    base, real = typical_question(fit)
    rows = fit.data[fit.data["n_base"] > 0]
    tried = rows.groupby("n_base")["n_syn_plus"].max()
    bases = [each for each in synthetic_tried(fit.data) if each > 0]
    return {
        "generator": generator(fit.labels),
        "conditional": fit.conditional,
        "first": {
            "n_base": float(np.clip(base, min(bases), max(bases))),
            "n_real_plus": real,
            "n_syn_plus": real,
        },
        "tried": {f"{size:.15g}": float(most) for size, most in tried.items()},
        "harm": {f"{size:.15g}": harm(fit, size) for size in bases},
        "reached": {f"{size:.15g}": reached(fit, size) for size in bases},
        **curves(fit, size),
    }
