"""Numbers and answers in words: the terminal, the figures and the report say the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mousterian import plugins
from mousterian.equivalence import equivalence
from mousterian.fitting.averaged import NOTICED, Decline
from mousterian.fitting.interval import Interval
from mousterian.fitting.surface import Points

if TYPE_CHECKING:
    import pandas as pd

    from mousterian.equivalence import Equivalence, Fit

# No-break space: a number and its unit stay on one line.
_NBSP = "\u00a0"
TRUST = {
    "inside": "The answer lies inside the measured range.",
    "near": "The answer lies just beyond the measured range.",
    "extrapolated": "The answer is extrapolated far beyond the measured range.",
}
_TRAINED_ON = {
    "base": "trained on the base images alone",
    "upstream": "trained on upstream images",
    "elsewhere": "trained elsewhere",
}
_GUIDED_BY = {"base": "the base images", "upstream": "upstream images"}


_NOTHING = "can be said yet: no trial adds synthetic images to a base."


@dataclass(frozen=True)
class Answer:
    """The answer at one base size: a sentence's words before the number, the number, and what follows it.

    `cell` is what a table says in its place.
    """

    equivalence: Equivalence
    n_real_plus: float
    lead: str
    number: str
    tail: str
    cell: str = ""

    @property
    def text(self) -> str:
        """The whole sentence."""
        return f"{self.lead} {self.number} {self.tail}"


def number(value: float) -> str:
    """Write a count of images: 1,200; in powers of ten from a thousand million on."""
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
    return f"{estimate} ({low}–{high}){_NBSP}%"


def counts(interval: Interval) -> str:
    """Write an estimated count with its interval, as short as tells the three apart.

    >>> counts(Interval(1234.5, 811.0, 2140.0))
    '1,200 (810–2,100)'
    >>> counts(Interval(1613.0, 1069.0, math.inf))
    '1,600 (at least 1,100)'
    """
    return _told_apart(interval, _whole)


def rates(interval: Interval) -> str:
    """Write a rate with its interval, as short as tells the three apart: 1.7 (0.85–3.1)."""
    return _told_apart(interval, _significant)


def ratios(interval: Interval) -> str:
    """Write a ratio with its interval: 0.84 (0.62–1.10); open ends as ∞."""
    estimate, low, high = (signed(part) for part in _parts(interval))
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


def generator(labels: Mapping[str, str]) -> str:
    """Name where synthetic images come from: "edm trained on upstream images"; "" where it is not known."""
    name = labels.get("generator", "")
    trained_on = labels.get("trained_on", "")
    if not (name and trained_on):
        return name
    if _pretrained(name):
        return f"{name} trained elsewhere, guided by {_GUIDED_BY.get(trained_on, 'nothing')}"
    return f"{name} {_TRAINED_ON.get(trained_on, f'trained on {trained_on}')}"


def setting(labels: Mapping[str, str]) -> str:
    """Return internal, external, or nothing where it is not known."""
    trained_on = labels.get("trained_on", "")
    alone = trained_on == "base" and not _pretrained(labels.get("generator", ""))
    return "" if not trained_on else "internal" if alone else "external"


def _pretrained(generator: str) -> bool:
    """Tell whether a generator brings what it learnt elsewhere, whatever it is fitted on."""
    plugin = plugins.available("generators").get(generator)
    return plugin is not None and plugin.pretrained


def compares(data: pd.DataFrame) -> bool:
    """Say whether any trial adds synthetic images to a base: without, there is nothing to compare."""
    return bool(((data["n_syn_plus"] > 0) & (data["n_base"] > 0)).any())


def answer(fit: Fit, n_base: float, n_real_plus: float) -> Answer:
    """Return the equivalence at one point as a sentence."""
    found = equivalence(fit, n_base=n_base, n_real_plus=n_real_plus)
    data = fit.data
    at, real = f"At {number(n_base)} base images,", f"{number(n_real_plus)} more real"
    name = generator(fit.labels)
    source = f" from {name}" if name else ""
    if not compares(data):
        return Answer(found, n_real_plus, at, "nothing", _NOTHING, "nothing was tried")
    synthetic = found.n_syn_plus
    if not isinstance(synthetic, Interval):
        tail, cell = _unreachable(fit, found, source, real)
        return Answer(found, n_real_plus, at, "no number", tail, cell)
    lead, worth = f"{at} {real} images are worth", counts(synthetic)
    most = float(data.loc[data["n_base"] == n_base, "n_syn_plus"].max())
    # Where even the interval's lower end was never tried, what was tried is the firmer thing to say.
    if found.trust == "extrapolated" and 0 < most < synthetic.low:
        return Answer(
            found, n_real_plus, lead, f"more than {number(most)}",
            f"synthetic ones{source}, the most that were tried; extrapolated, {worth}.",
            worth,
        )  # fmt: skip
    estimate, _, interval = worth.partition(" ")
    return Answer(found, n_real_plus, lead, estimate, f"{interval} synthetic ones{source}.", worth)


def _unreachable(fit: Fit, found: Equivalence, source: str, real: str) -> tuple[str, str]:
    """Return what a sentence says after "no number", and what a table does."""
    if found.saturation_accuracy >= found.accuracy.estimate:
        # The average gets there and most draws do not: to name an accuracy would contradict itself.
        share = percent(found.share_reachable, 0)
        told = f"of synthetic images{source} can be told to be worth {real} ones"
        return f"{told}: some number is in {share} of the draws.", f"not told; in {share} of the draws"
    alone = _alone(fit, found.n_base)
    best = f"{percent(found.saturation_accuracy)} at best"
    reached, cell = f"they bring accuracy to {best}", f"not reachable; {best}"
    if alone is not None and alone.open:
        reached = (
            f"the {number(alone.tried)} that were tried bring accuracy to {percents(alone.last)},"
            f" any number of them, by extrapolation, to {best}"
        )
        cell = f"{cell}, extrapolated"
    harm = _harm(fit, found.n_base)
    return (
        f"of synthetic images{source} is worth {real} ones: {reached}, the real ones to"
        f" {percents(found.accuracy)}.{harm and f' {harm}'}"
    ), cell


def limit(fit: Fit, n_base: float) -> str:
    """Return where synthetic images alone stop helping a base, or begin to do harm, as far as was tried."""
    least, most = synthetic_tried(fit.data).get(n_base, (0.0, 0.0))
    if most <= 1:
        return ""
    harm = _harm(fit, n_base)
    if harm:
        return harm
    count = np.concatenate([[0.0], np.geomspace(1.0, most, 200)])
    reached = fit.averaged.estimate(Points.of(n_base, 0.0, count))
    best = float(reached.max())
    if best - reached[0] < NOTICED:
        said, to = f"The {number(most)} synthetic images that were tried alone", float(reached[0])
        return f"{said} add less than 0.1 points to {percent(to)}."
    enough = max(float(count[np.argmax(reached >= best - NOTICED)]), least)
    if enough > 0.8 * most:
        said = "Synthetic images alone still helped at the most that were tried"
        return f"{said}, {number(most)}: {percent(best)}."
    said = f"Of the {number(most)} synthetic images that were tried alone, those beyond about"
    return f"{said} {_about(enough)} add less than 0.1 points to {percent(best)}."


def synthetic_tried(data: pd.DataFrame) -> dict[float, tuple[float, float]]:
    """Return the least and the most synthetic images that were tried at each base, outliers left out."""
    rows = data[~data["outlier"].to_numpy(dtype=bool) & (data["n_syn_plus"] > 0).to_numpy()]
    found = rows.groupby("n_base")["n_syn_plus"].agg(["min", "max"])
    return {
        float(base): (float(least), float(most))
        for base, (least, most) in zip(found.index, found.to_numpy(), strict=True)
    }


def _alone(fit: Fit, n_base: float) -> Decline | None:
    """Return what synthetic images alone do to a base; None where none were tried on it."""
    _, most = synthetic_tried(fit.data).get(n_base, (0.0, 0.0))
    return fit.averaged.decline(n_base, most) if most else None


def _harm(fit: Fit, n_base: float) -> str:
    """Return from where on synthetic images alone do harm and down to what; "" where that is not clear."""
    found = _alone(fit, n_base)
    if found is None or not found.clear:
        return ""
    down = f"to {percents(found.last)} with {number(found.tried)}, the most that were tried."
    # What fewer than were ever tried do is the surfaces' guess.
    if found.best - found.alone < NOTICED or found.count < synthetic_tried(fit.data)[n_base][0]:
        said = "Synthetic images alone do harm: accuracy falls from"
        return f"{said} {percent(found.alone)} without them {down}"
    said = f"Beyond about {_about(found.count)}, synthetic images alone do harm: accuracy falls from"
    return f"{said} {percent(found.best)} {down}"


def _about(count: float) -> str:
    return number(float(f"{count:.2g}"))


def _parts(interval: Interval) -> tuple[float, float, float]:
    return float(interval.estimate), float(interval.low), float(interval.high)


def _told_apart(interval: Interval, write: Callable[[float, int], str]) -> str:
    parts = _parts(interval)
    for digits in (2, 3, 4):
        shown = [write(value, digits) for value in parts]
        if len(set(shown)) == len(set(parts)):
            break
    return f"{shown[0]} ({_span(*shown[1:])})"


def _span(low: str, high: str) -> str:
    if high == "∞":
        # Nothing above and next to nothing below: no bound at all.
        return "not determined" if low in {"0", "<1", "<0.01"} else f"at least {low}"
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
