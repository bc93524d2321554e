"""Answers as sentences, the same in the terminal, the figures and the report."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mousterian.answers.answerable import refusal
from mousterian.answers.equivalence import Equivalence, equivalence
from mousterian.answers.measured import has_synthetic, synthetic_tried
from mousterian.answers.numbers import counts, number, percent, percents, ratios, signed
from mousterian.fitting.interval import Interval
from mousterian.fitting.measured_range import Trust
from mousterian.fitting.model_average import NEGLIGIBLE, Decline
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Points
from mousterian.plugins import registry

_RANGE = {"inside": "inside the data", "near": "near the data", "extrapolated": "extrapolated"}
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


def standing(trust: Trust | None, conditional: str) -> str:
    """Return how far an answer holds, as it stands behind it in brackets; "" if nothing is to be said.

    >>> standing("inside", "conditional on one subset and one generator")
    '[inside the data; conditional on one subset and one generator]'
    """
    said = "; ".join(filter(None, (_RANGE[trust] if trust else "", conditional)))
    return f"[{said}]" if said else ""


def with_caveat(text: str, conditional: str) -> str:
    """Return sentences, and one on what they are conditional on, if on anything."""
    told = conditional.capitalize()
    return f"{text} {told}: others may differ by more than the interval says." if told else text


@dataclass(frozen=True)
class Answer:
    """The answer at one base size: a sentence, split before and after its number.

    `cell` is the answer in a table. There is no equivalence where the rows cannot tell one (`answerable`).
    """

    equivalence: Equivalence | None
    n_real_plus: float
    lead: str
    number: str
    tail: str
    cell: str = ""

    @property
    def text(self) -> str:
        """The whole sentence."""
        return f"{self.lead} {self.number} {self.tail}"


def generator(labels: Mapping[str, str]) -> str:
    """Name the source of synthetic images: "edm trained on upstream images"; "" where unknown."""
    name = labels.get("generator", "")
    trained_on = labels.get("trained_on", "")
    if not (name and trained_on):
        return name
    if _pretrained(name):
        return f"{name} trained elsewhere, guided by {_GUIDED_BY.get(trained_on, 'nothing')}"
    return f"{name} {_TRAINED_ON.get(trained_on, f'trained on {trained_on}')}"


def setting(labels: Mapping[str, str]) -> str:
    """Return internal, external, or "" where unknown."""
    trained_on = labels.get("trained_on", "")
    alone = trained_on == "base" and not _pretrained(labels.get("generator", ""))
    return "" if not trained_on else "internal" if alone else "external"


def _pretrained(generator: str) -> bool:
    """Return whether a generator is pre-trained, whatever it is then fitted on."""
    plugin = registry.available("generators").get(generator)
    return plugin is not None and bool(plugin.constants.get("PRETRAINED"))


def answer(fit: Fit, n_base: float, n_real_plus: float) -> Answer:
    """Return the equivalence at one point as a sentence, or why the rows cannot tell one."""
    data = fit.data
    at, real = f"At {number(n_base)} base images,", f"{number(n_real_plus)} more real"
    name = generator(fit.labels)
    source = f" from {name}" if name else ""
    if not has_synthetic(data):
        return Answer(None, n_real_plus, at, "nothing", _NOTHING, "nothing was tried")
    refused = refusal(fit)
    if refused:
        lead, gain, span = _gain(data[~data["outlier"] & (data["n_base"] == n_base)])
        why = f"{refused.what[0].upper()}{refused.what[1:]}."
        return Answer(None, n_real_plus, f"{at} synthetic images{source} {lead}", gain, f"{span}{why}")
    found = equivalence(fit, n_base=n_base, n_real_plus=n_real_plus)
    synthetic = found.n_syn_plus
    if not isinstance(synthetic, Interval):
        tail, cell = _unreachable(fit, found, source, real)
        return Answer(found, n_real_plus, at, "no number", tail, cell)
    lead, worth = f"{at} {real} images are worth", counts(synthetic)
    most = float(data.loc[data["n_base"] == n_base, "n_syn_plus"].max())
    # If even the interval's lower end was not measured, the most that was measured is the safer bound.
    if found.trust == "extrapolated" and 0 < most < synthetic.low:
        return Answer(
            found, n_real_plus, lead, f"more than {number(most)}",
            f"synthetic ones{source}, the most that were tried; extrapolated, {worth}.",
            worth,
        )  # fmt: skip
    estimate, _, interval = worth.partition(" ")
    return Answer(found, n_real_plus, lead, estimate, f"{interval} synthetic ones{source}.", worth)


def _gain(rows: pd.DataFrame) -> tuple[str, str, str]:
    """Return what the synthetic images at one base gain, as measured: verb, number, and what it is of."""
    alone = rows.loc[rows["n_syn_plus"] == 0, "accuracy"].mean()
    means = rows[rows["n_syn_plus"] > 0].groupby("n_syn_plus")["accuracy"].mean()
    if np.isnan(alone):
        return "reach", percent(means.max()), ""
    best = float(means.index.to_numpy(float)[means.to_numpy().argmax()])
    span = f"({percent(alone)} to {percent(means.max())}, with {number(best)} of them). "
    return "gain", f"{signed(100 * (means.max() - alone), 1)} points", span


def _unreachable(fit: Fit, found: Equivalence, source: str, real: str) -> tuple[str, str]:
    """Return the rest of the sentence after "no number", and the cell of a table."""
    if found.saturation_accuracy >= found.accuracy.estimate:
        # The average reaches it and most draws do not; naming a saturation accuracy would contradict that.
        share = percent(found.share_reachable, 0)
        unsure = f"of synthetic images{source} can be told to be worth {real} ones"
        return f"{unsure}: some number is in {share} of the draws.", f"not told; in {share} of the draws"
    alone, best = _alone(fit, found.n_base), f"{percent(found.saturation_accuracy)} at best"
    extrapolated = ", extrapolated" if alone and alone.open else ""
    harms = harm(fit, found.n_base)
    return (
        f"of synthetic images{source} is worth {real} ones: {reached(fit, found.n_base)} {best},"
        f" the real ones to {percents(found.accuracy)}.{harms and f' {harms}'}"
    ), f"not reachable; {best}{extrapolated}"


def reached(fit: Fit, n_base: float) -> str:
    """Return what synthetic images alone bring a base to, up to the best accuracy, which follows."""
    alone = _alone(fit, n_base)
    if alone is None or not alone.open:
        return "they bring accuracy to"
    return (
        f"the {number(alone.tried)} that were tried bring accuracy to {percents(alone.last)},"
        " any number of them, by extrapolation, to"
    )


def limit(fit: Fit, n_base: float) -> str:
    """Return where synthetic images alone stop helping a base, or start to harm, within what was measured."""
    least, most = synthetic_tried(fit.data).get(n_base, (0.0, 0.0))
    if most <= 1:
        return ""
    harms = harm(fit, n_base)
    if harms:
        return harms
    count = np.concatenate([[0.0], np.geomspace(1.0, most, 200)])
    reached = fit.averaged.estimate(Points.of(n_base, 0.0, count))
    best = float(reached.max())
    if best - reached[0] < NEGLIGIBLE:
        said, to = f"The {number(most)} synthetic images that were tried alone", float(reached[0])
        return f"{said} add less than 0.1 points to {percent(to)}."
    enough = max(float(count[np.argmax(reached >= best - NEGLIGIBLE)]), least)
    if enough > 0.8 * most:
        said = "Synthetic images alone still helped at the most that were tried"
        return f"{said}, {number(most)}: {percent(best)}."
    said = f"Of the {number(most)} synthetic images that were tried alone, those beyond about"
    return f"{said} {_about(enough)} add less than 0.1 points to {percent(best)}."


def _alone(fit: Fit, n_base: float) -> Decline | None:
    """Return the decline from synthetic images alone at a base; None where none were measured."""
    _, most = synthetic_tried(fit.data).get(n_base, (0.0, 0.0))
    return fit.averaged.decline(n_base, most) if most else None


def harm(fit: Fit, n_base: float) -> str:
    """Return from which number on synthetic images alone harm; "" where that is not significant."""
    found = _alone(fit, n_base)
    if found is None or not found.clear:
        return ""
    down = f"to {percents(found.last)} with {number(found.tried)}, the most that were tried."
    # Below the fewest that were measured, the best number is interpolated.
    if found.best - found.alone < NEGLIGIBLE or found.count < synthetic_tried(fit.data)[n_base][0]:
        said = "Synthetic images alone do harm: accuracy falls from"
        return f"{said} {percent(found.alone)} without them {down}"
    said = f"Beyond about {_about(found.count)}, synthetic images alone do harm: accuracy falls from"
    return f"{said} {percent(found.best)} {down}"


def compared(row: Mapping[Hashable, Any]) -> dict[str, str]:
    """Return a row of a comparison (`answers.comparison`) as texts, by their headings."""
    points = [100 * float(row[name]) for name in ("difference", "difference_low", "difference_high")]
    worth = Interval(*(row[name] for name in ("ratio", "ratio_low", "ratio_high")))
    real = f", {number(row['n_real_plus'])} real" if row["n_real_plus"] else ""
    how = "" if row["trials"] == "paired" else f" · {row['trials']}"
    drawn = " · unpaired" if row["draws"] == "unpaired" else ""
    return {
        "arms": f"{row['first']} against {row['second']}",
        "n_base": number(row["n_base"]),
        "added": f"{number(row['n_syn_plus'])} synthetic{real}",
        "points of accuracy": f"{ratios(Interval(*points))}{how}",
        "p (Holm)": "–" if np.isnan(row["p_holm"]) else f"{row['p_holm']:.2g}",
        "ratio of worth": "–" if np.isnan(worth.estimate) else f"{ratios(worth)}{drawn}",
    }


def _about(count: float) -> str:
    return number(float(f"{count:.2g}"))


def sentence(made: Fit, found: Equivalence) -> str:
    """Return an equivalence as a sentence with its interval and its trust."""
    if isinstance(found.n_real_plus, float):
        text = answer(made, found.n_base, found.n_real_plus).text
    else:
        given = found.n_syn_plus if isinstance(found.n_syn_plus, float) else 0.0
        real = found.n_real_plus
        worth = counts(real) if real else f"more than {number(made.averaged.most_real)}"
        text = (
            f"At {number(found.n_base)} base images, {number(given)} more synthetic images are worth"
            f" {worth} real ones."
        )
    return f"{text} {standing(found.trust, found.conditional)}"
