"""`mousterian plan`."""

from __future__ import annotations

from pathlib import Path


def plan(
    fit: Path,
    *,
    n_base: float,
    target_accuracy: float,
    real_cost: float,
    syn_cost: float,
    max_real: float | None = None,
    max_syn: float | None = None,
    json: bool = False,
) -> int:
    """Find the cheapest mix of real and synthetic images for a target accuracy.

    Parameters
    ----------
    fit
        A saved fit.
    n_base
        Real images there are already.
    target_accuracy
        As a fraction, or in percent if above 1.
    real_cost
        Price of one real image.
    syn_cost
        Price of one synthetic image, in the same unit.
    max_real
        Most real images to be had.
    max_syn
        Most synthetic images to be had.
    json
        Print as JSON, with all mixtures that just reach the target.
    """
    from mousterian import answers, planning
    from mousterian.fitting import saved

    made = planning.plan(
        saved.read(fit),
        n_base=n_base,
        target_accuracy=target_accuracy,
        real_cost=real_cost,
        syn_cost=syn_cost,
        max_real=max_real,
        max_syn=max_syn,
    )
    return answers.show_plan(made, json)
