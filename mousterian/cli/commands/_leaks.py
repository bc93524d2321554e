"""What leak checks found, below every answer of a fit."""

from __future__ import annotations

from mousterian.cli.console import console
from mousterian.fitting.result import Fit


def show_leaks(fit: Fit, *, as_json: bool = False) -> None:
    """Print what leak checks found of a fit's data; with JSON on the error output."""
    for sentence in fit.leaks:
        console(stderr=as_json).print(f"leak: {sentence}", highlight=False)
