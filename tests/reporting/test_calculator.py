"""The page's calculator in a real browser gives the answers of the command line."""

from __future__ import annotations

import contextlib
import io
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CALCULATOR, needs_chromium, opened, ready, started
from conftest import ROOT

from mousterian.answers import numbers, wording
from mousterian.api import Fit
from mousterian.cli.commands import rate
from mousterian.fitting.surface import Points
from mousterian.reporting.page import contents, write_page

pytestmark = needs_chromium
TABLE_4 = ("mousterian-table-4-sd2", "mousterian-table-4-sd3")
STUDY = "study-fashion/fashion_mnist-edm"
NAMES = (*TABLE_4, "mousterian-table-3", "quickstart-external", "quickstart-internal", f"{STUDY}-base-joint",
         f"{STUDY}-upstream-phase_wise")  # fmt: skip
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
QUESTION = {"n_base": 1900, "n_real_plus": 1500, "n_syn_plus": 9000}
# Half a unit of the last digit shown: of two for counts and rates, relative and absolute; and of accuracies.
COUNT, RATE, ACCURACY = (0.005, 0.5), (0.005, 0.005), (0.0, 0.5e-4)
# Beyond the measured range, where surfaces that leave 0 to 1 are clipped, accuracy has kinks between points.
COUNT_BEYOND, ACCURACY_BEYOND = (0.1, 0.5), (0.0, 0.8e-2)
# An interval's end is a draw; another one, this many ranks on, may take its place.
RANKS = 2
browser = pytest.fixture(started, scope="module")


@cache
def fit(name: str) -> Fit:
    return Fit.load(ROOT / "fits" / f"{name}.json")


def expected(name: str, question: dict[str, float]) -> list[str]:
    """Return what the command line prints for a question about a fit, line by line."""
    made = fit(name)
    base, real, syn = question.values()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        rate.rate(ROOT / "fits" / f"{name}.json", n_base=base)
    return [
        wording.sentence(made, made.equivalence(n_base=base, n_real_plus=real)),
        wording.sentence(made, made.equivalence(n_base=base, n_syn_plus=syn)),
        out.getvalue().splitlines()[0],
        *(
            f"At {numbers.number(base)} base images, {numbers.number(sum(added))} more {kind} images alone"
            f" reach {numbers.percents(made.predict(base, *added), 2)} test accuracy."
            f" {wording.standing(made.measured.trust(base, *added), made.conditional)}"
            for kind, added in (("real", (real, 0)), ("synthetic", (0, syn)))
        ),
    ]


def shown(page: Any, arm: str) -> list[str]:
    """Return an arm's lines in the page, ranges in brackets as the command line writes them."""
    lines: list[str] = page.evaluate(
        """arm => [...document.querySelectorAll(`[data-arm="${arm}"] .told`)].map(line => {
             const range = line.querySelector('.range');
             const words = line.textContent.slice(0, range ? -range.textContent.length : undefined).trim();
             return range ? `${words} [${range.textContent}]` : words;
           })""",
        arm,
    )
    return lines


def agree(found: list[str], wanted: list[str]) -> None:
    """Assert that lines are the same, their numbers to a unit of the last digit (an error may round over)."""
    assert [NUMBER.sub("#", line) for line in found] == [NUMBER.sub("#", line) for line in wanted]
    for pair in zip(NUMBER.findall(" ".join(found)), NUMBER.findall(" ".join(wanted)), strict=True):
        whole, _, part = pair[1].replace(",", "").partition(".")
        unit = 10.0 ** (-len(part) if part else len(whole) - len(whole.rstrip("0") or whole))
        assert float(pair[0].replace(",", "")) == pytest.approx(float(f"{whole}.{part}"), abs=1.01 * unit)


def ask(page: Any, question: dict[str, float]) -> None:
    for name, value in question.items():
        page.fill(f"#{name}", f"{value:.15g}")
    page.wait_for_selector('#answers[data-state="working"]')
    ready(page)


def questions(made: Fit, bases: list[float], count: int) -> list[dict[str, float]]:
    """Return questions at measured bases and between them, most with counts inside the measured range."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        base = round(math.exp(rng.uniform(math.log(bases[0]), math.log(bases[-1]))))
        base = min(max(base, bases[0]), bases[-1]) if index % 4 else bases[index // 4 % len(bases)]
        inside = made.measured.nearest(Points.of(base, [np.inf, 0.0], [0.0, np.inf]))
        most = [inside.n_real_plus[0], inside.n_syn_plus[1]]
        if index % 5 == 4:
            most = [made.averaged.most_real, made.averaged.most_synthetic]
        added = [round(math.exp(rng.uniform(0, math.log(max(each, 2))))) for each in most]
        found.append({"n_base": base, "n_real_plus": added[0], "n_syn_plus": added[1]})
    return found


def near(found: dict[str, float], estimate: float, draws: Any, tolerance: tuple[float, float]) -> None:
    """Assert that the page's interval is that of the draws, to the digits shown and to a few ranks."""
    ordered = np.nan_to_num(np.sort(draws), nan=np.inf, posinf=np.inf)
    last = len(ordered) - 1
    ends = (math.floor(0.025 * last), math.ceil(0.975 * last))
    spans = [(ordered[max(end - RANKS, 0)], ordered[min(end + RANKS, last)]) for end in ends]
    spans = [(estimate, estimate), *spans]
    for (low, high), value in zip(spans, (found["estimate"], found["low"], found["high"]), strict=True):
        # An interval is widened to hold the estimate.
        least, most = min(low, estimate), max(high, estimate)
        assert least * (1 - tolerance[0]) - tolerance[1] <= value <= most * (1 + tolerance[0]) + tolerance[1]


def compare(made: Fit, question: dict[str, float], found: dict[str, Any]) -> None:
    base, real, syn = question.values()
    forward = made.equivalence(n_base=base, n_real_plus=real)
    backward = made.equivalence(n_base=base, n_syn_plus=syn)
    sides = (("forward", forward, "n_syn_plus", real), ("backward", backward, "n_real_plus", syn))
    for side, wanted, name, given in sides:
        solve = made.averaged.synthetic_for if side == "forward" else made.averaged.real_for
        estimate, draws = (values[..., 0] for values in solve(np.array([base]), np.array([given])))
        assert found[side]["trust"] == wanted.trust
        assert abs(found[side]["share_reachable"] - wanted.share_reachable) <= RANKS / len(draws)
        assert found[side]["reachable"] == wanted.reachable
        if wanted.reachable:
            near(found[side][name], estimate, draws, COUNT if wanted.trust == "inside" else COUNT_BEYOND)
    estimate, draws = (
        values[..., 0] for values in made.averaged.synthetic_for(np.array([base]), np.array([1.0]))
    )
    near(found["rate"]["marginal_rate"], estimate, draws, RATE)
    for kind, added in (("real", (real, 0.0)), ("synthetic", (0.0, syn))):
        point, trust = Points.of([base], *added), made.measured.trust(base, *added)
        accuracies = made.averaged.estimate(point)[0], made.averaged.drawn(point)[:, 0]
        tolerance = ACCURACY if trust == "inside" else ACCURACY_BEYOND
        near(found[kind], *(np.clip(each, 0, 1) for each in accuracies), tolerance)
        assert found[kind]["trust"] == trust


@pytest.mark.parametrize("name", NAMES)
def test_interpolated_answers_are_the_fits_own_to_the_digits_shown(
    browser: Any, tmp_path: Path, name: str
) -> None:
    made = fit(name)
    write_page(contents((made,)), tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html") as (page, problems):
        ready(page)
        bases = page.evaluate("page.fits[0].ends.map((end) => page.fits[0].bases[end])")
        asked = questions(made, bases, 12)
        answers = page.evaluate(
            """questions => questions.map(question => {
                 const {lines, ...found} = answersOf(page.fits[0], question);
                 return {...found, words: lines.map(([kind, parts]) => told(kind, parts, "").textContent)};
               })""",
            asked,
        )
        assert not problems
    same = 0
    for question, found in zip(asked, answers, strict=True):
        compare(made, question, found)
        wanted = [re.sub(r" \[[^]]*\]$", "", line) for line in expected(name, question)]
        same += sum(line == other for line, other in zip(found["words"], wanted, strict=True))
    assert same >= 0.85 * len(asked) * 5


def test_the_page_says_what_the_command_line_says(browser: Any) -> None:
    with opened(browser, CALCULATOR) as (page, problems):
        ready(page)
        ask(page, QUESTION)
        for index, name in enumerate(TABLE_4, start=1):
            agree(shown(page, f"arm-{index}"), expected(name, QUESTION))
        assert not problems


def test_where_synthetic_images_do_harm_page_and_command_line_say_the_same(
    browser: Any, tmp_path: Path
) -> None:
    name = f"{STUDY}-base-joint"
    said = {}
    write_page(contents((fit(name),)), tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html") as (page, problems):
        ready(page)
        for base, real in ((500, 500), (1000, 500), (700, 700)):
            question = {"n_base": base, "n_real_plus": real, "n_syn_plus": 500}
            ask(page, question)
            said[base] = shown(page, "arm-1")[0]
            assert said[base] == expected(name, question)[0]
        assert not problems
    assert "Beyond about 750, synthetic images alone do harm: accuracy falls from 79.6" in said[500]
    assert "Synthetic images alone do harm: accuracy falls from 82.8" in said[1000]
    assert "harm" not in said[700], "nothing was tried there"


def test_outside_the_measured_bases_it_refers_to_the_command_line(browser: Any) -> None:
    with opened(browser, CALCULATOR) as (page, problems):
        ready(page)
        for outside in ({"n_base": 100}, {"n_base": 20_000}, {"n_syn_plus": 2_000_000}):
            ask(page, QUESTION | outside)
            [line] = shown(page, "arm-1")
            assert line.startswith("This page answers at 130 to 13,000 base images, between which synthetic")
            assert line.endswith("The command line answers elsewhere.")
        assert page.get_attribute("#n_base-slider", "aria-valuetext") == "1900"
        assert not problems


def test_sliders_and_keys_work_too(browser: Any) -> None:
    with opened(browser, CALCULATOR) as (page, problems):
        ready(page)
        before = shown(page, "arm-1")[0]
        page.focus("#n_real_plus-slider")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector('#answers[data-state="working"]')
        ready(page)
        question = {name: float(page.input_value(f"#{name}")) for name in QUESTION}
        agree(shown(page, "arm-1"), expected(TABLE_4[0], question))
        assert shown(page, "arm-1")[0] != before
        commands = page.text_content("#commands")
        assert f"--n-real-plus {question['n_real_plus']:g}" in commands
        reached = fit(TABLE_4[0]).predict(question["n_base"], question["n_real_plus"]).estimate
        plan = f"mousterian plan FIT --n-base {question['n_base']:g} --target-accuracy {100 * reached:.1f} "
        assert plan in commands
        page.keyboard.press("End")
        assert float(page.input_value("#n_real_plus")) == fit(TABLE_4[0]).averaged.most_real
        page.fill("#n_base", "-5")
        page.wait_for_selector('#answers[data-state="refused"]')
        assert page.text_content("#trouble") == "n_base is -5; it must be a finite number and not negative"
        assert not problems
