"""Numbers as text: counts, percentages, rates, ratios, durations."""

from __future__ import annotations

import math
from collections.abc import Callable

from mousterian.fitting.interval import Interval

# No-break space: a number and its unit stay on one line.
_NBSP = "\u00a0"


def duration(seconds: float) -> str:
    """Write a duration, more coarsely the longer it is.

    >>> [duration(seconds) for seconds in (42, 155, 750, 12_345)]
    ['42 s', '2 min 35 s', '12 min', '3.4 h']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 300:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def number(value: float) -> str:
    """Write a count of images: 1,200; in scientific notation from 10⁹ on."""
    return f"{value:,.0f}" if abs(value) < 1e9 else scientific(value, 2)


def times(ratio: float) -> str:
    """Write a multiple of the base size: 0.5×."""
    return f"{ratio:,.3g}×" if ratio < 1000 else f"{ratio:,.0f}×"


def percent(value: float, digits: int = 1) -> str:
    """Write a fraction as a percentage: 91.2 %."""
    return f"{100 * value:.{digits}f}{_NBSP}%"


def percents(interval: Interval, digits: int = 1) -> str:
    """Write an accuracy with its interval: 91.2 (90.1–92.0) %."""
    estimate, low, high = (f"{100 * part:.{digits}f}" for part in _parts(interval))
    if math.isnan(interval.low):
        return f"{estimate}{_NBSP}%"
    return f"{estimate} ({low}–{high}){_NBSP}%"


def counts(interval: Interval) -> str:
    """Write an estimated count with its interval, in as few digits as distinguish the three.

    >>> counts(Interval(1234.5, 811.0, 2140.0))
    '1,200 (810–2,100)'
    >>> counts(Interval(1613.0, 1069.0, math.inf))
    '1,600 (at least 1,100)'
    >>> counts(Interval(1613.0, math.nan, math.nan))  # the noise is unknown
    '1,600 (no interval)'
    """
    return _shortest(interval, _whole)


def rates(interval: Interval) -> str:
    """Write a rate with its interval, in as few digits as distinguish the three: 1.7 (0.85–3.1)."""
    return _shortest(interval, _significant)


def ratios(interval: Interval) -> str:
    """Write a ratio with its interval: 0.84 (0.62–1.10); open ends as ∞."""
    estimate, low, high = (signed(part) for part in _parts(interval))
    if math.isnan(interval.low):
        return f"{estimate} (no interval)"
    if low == "−∞" and high == "∞":
        return f"{estimate} (not determined)"
    return f"{estimate} ({_span(low, high)})"


def signed(value: float, digits: int = 2) -> str:
    """Write a number of either sign, with a true minus."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return "unknown" if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


def scientific(value: float, digits: int = 3) -> str:
    """Write a number of any size in few digits: 0.837, 7.95 × 10⁻⁵."""
    if value == 0 or not math.isfinite(value):
        return signed(value, 0)
    if 1e-3 <= abs(value) < 1e6:
        places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
        return f"{value:,.{places}f}".replace("-", "−")
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{superscript}".replace("-", "−")


def _parts(interval: Interval) -> tuple[float, float, float]:
    return float(interval.estimate), float(interval.low), float(interval.high)


def _shortest(interval: Interval, write: Callable[[float, int], str]) -> str:
    parts = _parts(interval)
    if math.isnan(parts[1]):
        return f"{write(parts[0], 2)} (no interval)"
    for digits in (2, 3, 4):
        shown = [write(value, digits) for value in parts]
        # All that is shown as "<1" is the same, whatever the digits.
        told = {value if text.startswith("<") else text for text, value in zip(shown, parts, strict=True)}
        if len(told) == len(set(parts)):
            break
    return f"{shown[0]} ({_span(*shown[1:])})"


def _span(low: str, high: str) -> str:
    if high == "∞":
        # A lower end of about 0 is no bound either.
        return "not determined" if low in {"0", "<1", "<0.01", "0.00"} else f"at least {low}"
    return f"{low} to {high}" if "−" in low else f"{low}–{high}"


def _whole(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return number(value)
    if 0 < value < 1:
        return "<1"
    return number(round(value, digits - 1 - math.floor(math.log10(value))) if value >= 100 else value)


def _significant(value: float, digits: int) -> str:
    if not math.isfinite(value) or value <= 0:
        return signed(value, 0)
    if value < 0.01:
        return "<0.01"
    places = digits - 1 - math.floor(math.log10(value))
    return f"{round(value, places):,.{max(places, 0)}f}"
