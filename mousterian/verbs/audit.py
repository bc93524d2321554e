"""`mousterian audit`."""

from __future__ import annotations

from pathlib import Path


def audit(fit: Path, *, against: str, json: bool = False) -> int:
    """Set a published equation beside what was measured.

    Parameters
    ----------
    fit
        A saved fit.
    against
        eq1 or eq2 of the main paper.
    json
        Print as JSON.
    """
    from mousterian import answers
    from mousterian.fitting import saved

    return answers.show_audit(saved.read(fit), against, json)
