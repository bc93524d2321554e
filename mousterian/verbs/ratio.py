"""`mousterian ratio`."""

from __future__ import annotations

from pathlib import Path


def ratio(fit: Path, *, json: bool = False) -> int:
    """Print the improvement ratio: gain from synthetic over gain from as many real images.

    Parameters
    ----------
    fit
        A saved fit.
    json
        Print as JSON.
    """
    from mousterian import answers
    from mousterian.fitting import saved

    return answers.show_ratio(saved.read(fit), json)
