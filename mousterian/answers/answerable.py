"""Whether a fit's rows can tell what images are worth: one rule for commands, page and Python."""

from __future__ import annotations

import numpy as np

from mousterian.errors import InputError
from mousterian.fitting.result import Fit

NO_SYNTHETIC = "no trial adds synthetic images to a base, so what they are worth cannot be estimated"
# Accuracies that differ by less are rounding.
_EQUAL = 1e-9


def refusal(fit: Fit) -> InputError | None:
    """Return why no equivalence can be had from a fit, and what to measure; None where one can.

    It takes a base with synthetic images, that base alone, and real images alone at another size (of a
    base, or of a base and real additions), and accuracies that are not all equal. Outliers do not count.
    """
    data = fit.data[~fit.data["outlier"].to_numpy(dtype=bool)]
    with_synthetic = (data["n_syn_plus"] > 0) & (data["n_base"] > 0)
    if not with_synthetic.any():
        return InputError(NO_SYNTHETIC, where=fit.name, hint="measure a base with synthetic images added")
    if np.ptp(data["accuracy"].to_numpy(dtype=float)) < _EQUAL:
        return InputError(
            "accuracy is the same in every row: neither real nor synthetic images gain anything, so what they"
            " are worth cannot be told",
            where=fit.name,
            hint="measure smaller bases, or evaluate on harder or on more test images",
        )
    bases = data.loc[with_synthetic, "n_base"].unique()
    alone = (data["n_base"] + data["n_real_plus"])[data["n_syn_plus"] == 0].unique()
    if not np.isin(bases, alone).any():
        return InputError(
            "no base was measured both alone and with synthetic images, so what these gain is unknown",
            where=fit.name,
            hint="measure a base that has synthetic images without them, too: n_real_plus = n_syn_plus = 0",
        )
    if len(alone) < 2:
        return InputError(
            "what synthetic images are worth cannot be told: real images alone were measured at one size",
            where=fit.name,
            hint="measure real images alone at another size: a larger base, or n_real_plus above 0",
        )
    return None


def require_answer(fit: Fit) -> None:
    """Raise InputError where no equivalence can be had from a fit."""
    refused = refusal(fit)
    if refused:
        raise refused
