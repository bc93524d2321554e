"""`mousterian rate`."""

from __future__ import annotations

from pathlib import Path


def rate(
    fit: Path, *, n_base: float, n_real_plus: float = 0, n_syn_plus: float = 0, json: bool = False
) -> int:
    """Say how many synthetic images one more real image is worth right here (marginal rate of substitution).

    Parameters
    ----------
    fit
        A saved fit.
    n_base
        Real images in the base set.
    n_real_plus
        Real images added already.
    n_syn_plus
        Synthetic images added already.
    json
        Print as JSON.
    """
    from mousterian import answers
    from mousterian.fitting import saved

    loaded = saved.read(fit)
    return answers.show_rate(loaded, n_base, n_real_plus, n_syn_plus, json)
