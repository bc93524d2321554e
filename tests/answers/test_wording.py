from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from mousterian.answers import numbers, wording
from mousterian.api import Fit, fit
from mousterian.fitting.interval import Interval


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(1234.5, 811.0, 2140.0), "1,200 (810–2,100)"),
        (Interval(1250.0, 1241.0, 1262.0), "1,250 (1,240–1,260)"),
        (Interval(52.4, 9.6, 140.2), "52 (10–140)"),
        (Interval(3.0, 0.2, 7.0), "3 (<1–7)"),
        (Interval(1613.0, 1069.0, math.inf), "1,600 (at least 1,100)"),
        (Interval(5.0, 5.0, 5.0), "5 (5–5)"),
    ],
)
def test_counts_have_as_few_digits_as_distinguish_them(interval: Interval, text: str) -> None:
    assert numbers.counts(interval) == text


def test_counts_too_large_to_read_are_in_powers_of_ten() -> None:
    assert numbers.number(999_999_999) == "999,999,999"
    assert numbers.number(2.5e298) == "2.5 × 10²⁹⁸"
    assert numbers.number(math.inf) == "∞"


def test_rates_keep_their_decimals() -> None:
    assert numbers.rates(Interval(1.68, 0.846, 3.14)) == "1.7 (0.85–3.1)"
    assert numbers.rates(Interval(1.7, 3e-9, 4.0)) == "1.7 (<0.01–4.0)"
    assert numbers.rates(Interval(117.4, 0.0, math.inf)) == "120 (not determined)"


def test_ratios_say_when_they_are_not_determined() -> None:
    assert numbers.ratios(Interval(0.226, -math.inf, math.inf)) == "0.23 (not determined)"
    assert numbers.ratios(Interval(-0.1, -0.5, 0.3)) == "−0.10 (−0.50 to 0.30)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8367, "0.837"),
        (7.9507e-5, "7.95 × 10⁻⁵"),
        (-7.45e-4, "−7.45 × 10⁻⁴"),
        (15571.2, "15,571"),
        (0, "0"),
    ],
)
def test_scientific(value: float, text: str) -> None:
    assert numbers.scientific(value) == text


def test_generators_are_named_with_what_they_were_trained_on() -> None:
    assert (
        wording.generator({"generator": "edm", "trained_on": "base"})
        == "edm trained on the base images alone"
    )
    assert wording.generator({"generator": "edm", "trained_on": "LAION"}) == "edm trained on LAION"
    assert wording.generator({}) == ""
    assert [wording.setting({"trained_on": each}) for each in ("base", "upstream", "")] == [
        "internal",
        "external",
        "",
    ]


def _fit(gain: float, most: int = 16) -> Fit:
    """Return a fit where ln(1 + r_syn) gains `gain` times what r_real does."""
    rows = [
        (base, real * base, syn * base, 0.5 + 0.05 * np.log(base / 50) + 0.05 * (real + gain * np.log1p(syn)))
        for base in (50, 200, 800)
        for real, syn in ((0, 0), (0.5, 0), (1, 0), (2, 0), (0, 1), (0, 4), (0, most))
    ]
    table = pd.DataFrame(rows, columns=["n_base", "n_real_plus", "n_syn_plus", "accuracy"])
    return fit(table, surface="loglinear", bootstrap=20, labels={"generator": "edm"})


def test_an_answer_is_a_sentence_with_its_interval_and_source() -> None:
    found = wording.answer(_fit(gain=1.0), 200, 200)
    # ln(1 + r_syn) = r_real has r_syn = e - 1 at r_real = 1.
    assert found.text.startswith("At 200 base images, 200 more real images are worth 344 (")
    assert found.text.endswith(" synthetic ones from edm.")
    assert found.equivalence.trust == "inside"


def test_an_answer_far_beyond_what_was_tried_says_what_was_tried() -> None:
    found = wording.answer(_fit(gain=0.2), 200, 200)
    # r_syn = e^5 - 1, about 147, where 16 was tried.
    assert found.number == "more than 3,200"
    assert "the most that were tried; extrapolated, 29," in found.tail


def test_what_synthetic_images_cannot_reach_is_said_with_where_they_stop() -> None:
    found = wording.answer(_fit(gain=0.01), 200, 400)
    assert found.text.startswith(
        "At 200 base images, no number of synthetic images from edm is worth 400 more"
    )
    # Measured and extrapolated numbers are distinguished, in a table too.
    tried = numbers.percents(_fit(gain=0.01).predict(200, 0, 3200))
    best = f"{numbers.percent(found.equivalence.saturation_accuracy)} at best"
    assert f" ones: the 3,200 that were tried bring accuracy to {tried}, any number of them," in found.tail
    assert f", by extrapolation, to {best}, the real ones to " in found.tail
    assert found.cell == f"not reachable; {best}, extrapolated"
    assert "harm" not in found.tail
    assert not found.equivalence.reachable


def _falling(harm: float, noise: float = 1e-4) -> Fit:
    """Return a fit of the surface `harmful`: synthetic images help a little, and cost `harm`·ln(1 + r)."""
    rows = [
        (base, real * base, syn * base, seed,
         0.95 - 2 * (base * (1 + real) + 2 * (syn * base) ** 0.7) ** -0.35 - harm * np.log1p(syn))
        for base in (50, 200, 800)
        for real, syn in ((0, 0), (0.5, 0), (1, 0), (2, 0), (0, 0.1), (0, 0.5), (0, 1), (0, 4), (0, 16))
        for seed in range(3)
    ]  # fmt: skip
    columns = ["n_base", "n_real_plus", "n_syn_plus", "training_seed", "accuracy"]
    table = pd.DataFrame(rows, columns=columns)
    table["accuracy"] += np.random.default_rng(0).normal(0, noise, len(table))
    return fit(table, surface="harmful", bootstrap=60, labels={"generator": "edm"})


def test_where_more_synthetic_images_do_harm_it_is_said_down_to_what() -> None:
    made = _falling(harm=0.045)
    found = wording.answer(made, 200, 400)
    best = numbers.percent(found.equivalence.saturation_accuracy)
    assert f": they bring accuracy to {best} at best, the real ones to" in found.text
    harm = wording.limit(made, 200)
    assert harm.startswith("Beyond about ")
    reached = numbers.percents(made.predict(200, 0, 3200))
    assert harm.endswith(f" from {best} to {reached} with 3,200, the most that were tried.")
    assert found.text.endswith(harm)
    # Of what was never tried nothing is said.
    assert "harm" not in wording.answer(made, 300, 600).text


def test_harm_from_the_first_synthetic_images_on_has_no_beyond() -> None:
    made = _falling(harm=0.2)
    alone = numbers.percent(made.predict(200).estimate)
    said = f"Synthetic images alone do harm: accuracy falls from {alone} without them to"
    assert wording.limit(made, 200).startswith(said)


def test_a_fall_within_the_fits_own_uncertainty_is_not_called_harm() -> None:
    made = _falling(harm=0.045, noise=0.03)
    found = made.averaged.decline(200, 3200)
    assert found.count < 3200
    assert found.drop.estimate > 0.01
    assert "harm" not in wording.answer(made, 200, 400).text + wording.limit(made, 200)


def test_growth_past_what_was_tried_is_not_called_harm() -> None:
    found = _fit(gain=1.0).averaged.decline(200, 3200)
    assert found.drop.low > 0
    assert not found.clear


def test_synthetic_images_that_gain_next_to_nothing_are_said_to() -> None:
    made = _fit(gain=0.001)
    alone = numbers.percent(made.predict(200).estimate)
    said = f"The 3,200 synthetic images that were tried alone add less than 0.1 points to {alone}."
    assert wording.limit(made, 200) == said
