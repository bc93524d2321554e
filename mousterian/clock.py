"""Time spans as people say them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Write a time span, the longer the coarser.

    >>> [duration(seconds) for seconds in (42, 155, 750, 12_345)]
    ['42 s', '2 min 35 s', '12 min', '3.4 h']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 300:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
