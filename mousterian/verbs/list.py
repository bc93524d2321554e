"""`mousterian list`."""

from __future__ import annotations


def list_(kind: str = "", *, json: bool = False) -> int:
    """List the plug-ins of a kind (datasets, models, generators ...) with their options.

    Parameters
    ----------
    kind
        Kind of plug-in, or `recipes`, or `columns` (of the store); without it, all kinds of plug-ins.
    json
        Print as JSON.
    """
    from mousterian import listing

    return listing.plugins_of(kind, json)
