"""Mousterian: how many synthetic images is a real one worth?"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Fit", "compare", "fit", "fit_arms"]


def __getattr__(name: str) -> Any:
    # Imported on first use: `mousterian --version` must not wait for pandas and scipy.
    if name in __all__:
        return getattr(import_module("mousterian.api"), name)
    raise AttributeError(f"module 'mousterian' has no attribute {name!r}")
