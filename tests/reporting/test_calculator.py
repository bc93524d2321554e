"""The page's calculator in a real browser gives the answers of the command line."""

from __future__ import annotations

import contextlib
import io
import math
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from chromium import CALCULATOR, needs_chromium, opened, ready, started
from conftest import ROOT

from mousterian.answers import numbers, wording
from mousterian.answers.plan import cheapest_mix
from mousterian.answers.wording import sentence
from mousterian.api import Fit
from mousterian.cli.commands import plan, rate
from mousterian.reporting.page import contents, write_page

pytestmark = needs_chromium
FITS = ("mousterian-table-4-sd2", "mousterian-table-4-sd3")
browser = pytest.fixture(started, scope="module")


@cache
def fit(name: str) -> Fit:
    return Fit.load(ROOT / "fits" / f"{name}.json")


def printed(show: Any, *arguments: Any, **options: Any) -> list[str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        show(*arguments, **options)
    return [line.strip() for line in out.getvalue().splitlines()]


def expected(name: str, question: dict[str, float]) -> list[str]:
    """Return what the command line prints for a question about a fit, line by line."""
    made, file = fit(name), ROOT / "fits" / f"{name}.json"
    base, real, syn = (question[name] for name in ("n_base", "n_real_plus", "n_syn_plus"))
    both = wording.standing(made.measured.trust(base, real, syn), made.conditional)
    reached = numbers.percents(made.predict(base, real, syn), 2)
    prices = {name: question[name] for name in ("real_cost", "syn_cost")}
    cheapest = cheapest_mix(made, n_base=base, target_accuracy=question["target"], **prices)
    return [
        sentence(made, made.equivalence(n_base=base, n_real_plus=real)),
        sentence(made, made.equivalence(n_base=base, n_syn_plus=syn)),
        *printed(rate.rate, file, n_base=base, n_real_plus=real, n_syn_plus=syn),
        f"All of them together reach {reached} test accuracy. {both}",
        *printed(plan._show, cheapest),
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


def ask(page: Any, question: dict[str, float]) -> None:
    for name, value in question.items():
        page.fill(f"#{name}", f"{value:.15g}")
    page.wait_for_selector('#answers[data-state="working"]')
    ready(page)


def questions(count: int) -> list[dict[str, float]]:
    """Return questions inside and far outside the measured range."""
    rng = random.Random(0)

    def between(low: float, high: float) -> float:
        return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.3g}")

    return [
        {
            "n_base": round(between(60, 30_000)),
            "n_real_plus": rng.choice([0, round(between(10, 30_000))])
            if number % 4 == 0
            else round(between(10, 30_000)),
            "n_syn_plus": round(between(10, 200_000)),
            "target": round(rng.uniform(45, 97), 1),
            "real_cost": rng.choice([0, 1, between(0.1, 10)]),
            "syn_cost": rng.choice([0, 0.05, between(0.001, 1)]),
        }
        for number in range(count)
    ]


def test_the_page_answers_as_the_command_line_does(browser: Any) -> None:
    with opened(browser, CALCULATOR) as (page, problems):
        ready(page)
        for question in questions(4):
            ask(page, question)
            for index, name in enumerate(FITS, start=1):
                assert shown(page, f"arm-{index}") == expected(name, question), question
        assert not problems


def test_where_synthetic_images_do_harm_page_and_command_line_say_the_same(
    browser: Any, tmp_path: Path
) -> None:
    name = "study-fashion/fashion_mnist-edm-base-joint"
    said = {}
    write_page(contents((fit(name),)), tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html") as (page, problems):
        ready(page)
        for base, real in ((500, 500), (1000, 500), (700, 700)):
            question = questions(1)[0] | {"n_base": base, "n_real_plus": real}
            ask(page, question)
            said[base] = shown(page, "arm-1")[0]
            assert said[base] == expected(name, question)[0]
        assert not problems
    assert "Beyond about 750, synthetic images alone do harm: accuracy falls from 79.6" in said[500]
    assert "Synthetic images alone do harm: accuracy falls from 82.8" in said[1000]
    assert "harm" not in said[700], "nothing was tried there"


def test_its_numbers_are_those_of_the_json(browser: Any) -> None:
    question = questions(1)[0]
    with opened(browser, CALCULATOR) as (page, _):
        ready(page)
        ask(page, question)
        found, conditional = page.evaluate("[page.fits[1].answers, page.fits[1].conditional]")
    made, base = fit(FITS[1]), question["n_base"]
    assert conditional == made.conditional  # the page says it once for all answers
    found = {name: {**each, "conditional": conditional} for name, each in found.items()}
    near(found["forward"], made.equivalence(n_base=base, n_real_plus=question["n_real_plus"]).to_json())
    near(found["backward"], made.equivalence(n_base=base, n_syn_plus=question["n_syn_plus"]).to_json())
    prices = {name: question[name] for name in ("real_cost", "syn_cost")}
    wanted = cheapest_mix(made, n_base=base, target_accuracy=question["target"], **prices).to_json()
    del wanted["frontier"]  # the page keeps none, and has its own name for one key
    near(found["plan"], wanted | {"chance": wanted.pop("probability")})


def near(found: Any, wanted: Any) -> None:
    """Assert that the page's numbers are those of the JSON, to its seven digits."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            near(found[name], value)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    elif wanted is None:
        assert found is None or not math.isfinite(found)
    else:
        assert found == wanted


def test_sliders_and_keys_work_too(browser: Any) -> None:
    with opened(browser, CALCULATOR) as (page, problems):
        ready(page)
        before = shown(page, "arm-1")[0]
        page.focus("#n_real_plus-slider")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector('#answers[data-state="working"]')
        ready(page)
        question = {name: float(page.input_value(f"#{name}")) for name in questions(1)[0]}
        assert shown(page, "arm-1") == expected(FITS[0], question)
        assert shown(page, "arm-1")[0] != before
        assert f"--n-real-plus {question['n_real_plus']:g}" in page.text_content("#commands")
        page.fill("#n_base", "-5")
        page.wait_for_selector('#answers[data-state="refused"]')
        assert page.text_content("#trouble") == "n_base is -5; it must be a finite number and not negative"
        assert not problems
