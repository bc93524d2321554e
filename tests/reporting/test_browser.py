"""The committed reports in a real browser: nothing is fetched, nothing fails, answers are those of Python."""

from __future__ import annotations

import contextlib
import io
import math
import os
import random
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from mousterian.answers import numbers, wording
from mousterian.answers.plan import cheapest_mix
from mousterian.answers.wording import sentence
from mousterian.api import Fit
from mousterian.cli.commands import rate
from mousterian.reporting.page import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")

CHROMIUM = os.environ.get("MOUSTERIAN_CHROMIUM") or shutil.which("chromium")
# CI sets this, and installs Chromium: there, a browser that is missing is a failure and no reason to skip.
REQUIRED = os.environ.get("MOUSTERIAN_BROWSER_TESTS") == "1"
pytestmark = pytest.mark.skipif(
    not CHROMIUM and not REQUIRED, reason="Chromium is not installed (Debian: apt-get install chromium)"
)
PAGES = sorted((ROOT / "reports").glob("*.html"))
ASKED = ROOT / "reports" / "mousterian-table-4.html"
FITS = ("mousterian-table-4-sd2", "mousterian-table-4-sd3")
# Milliseconds: a browser beside other work on two cores is slow, and none of this is about speed.
WAIT = 240_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert CHROMIUM, "Chromium is not installed"
    # Chromium's sandbox refuses to run as root; what is opened here are our own files.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=WAIT)
        yield started
        started.close()


@contextlib.contextmanager
def opened(browser: Any, path: Path, **how: Any) -> Iterator[tuple[Any, list[str]]]:
    """Open a page; give it and the list of what it says on the console, fails at, or asks for."""
    context = browser.new_context(**how)
    context.set_default_timeout(WAIT)
    page, trouble = context.new_page(), []
    page.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
    own = path.as_uri()
    page.on("request", lambda request: trouble.append(request.url) if request.url != own else None)
    page.goto(own)
    try:
        yield page, trouble
    finally:
        context.close()


def ready(page: Any) -> None:
    page.wait_for_selector('#answers[data-state="ready"]', timeout=WAIT)


@cache
def fit(name: str) -> Fit:
    return Fit.load(ROOT / "fits" / f"{name}.json")


def printed(show: Any, *arguments: Any) -> list[str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        show(*arguments)
    return [line.strip() for line in out.getvalue().splitlines()]


def expected(made: Fit, question: dict[str, float]) -> list[str]:
    """Return what the command line prints for a question, line by line."""
    base, real, syn = (question[name] for name in ("n_base", "n_real_plus", "n_syn_plus"))
    both = wording.RANGE[made.measured.trust(base, real, syn)]
    reached = numbers.percents(made.predict(base, real, syn), 2)
    plan = cheapest_mix(
        made,
        n_base=base,
        target_accuracy=question["target"],
        real_cost=question["real_cost"],
        syn_cost=question["syn_cost"],
    )
    return [
        sentence(made, made.equivalence(n_base=base, n_real_plus=real)),
        sentence(made, made.equivalence(n_base=base, n_syn_plus=syn)),
        *printed(rate._show, made, base, real, syn, False),
        f"All of them together reach {reached} test accuracy. [{both}]",
        *printed(plan._show, plan, False),
    ]


def told(page: Any, arm: str) -> list[str]:
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
    """Return questions inside and far outside of what was measured."""
    dice = random.Random(0)

    def between(low: float, high: float) -> float:
        return float(f"{math.exp(dice.uniform(math.log(low), math.log(high))):.3g}")

    return [
        {
            "n_base": round(between(60, 30_000)),
            "n_real_plus": dice.choice([0, round(between(10, 30_000))])
            if number % 4 == 0
            else round(between(10, 30_000)),
            "n_syn_plus": round(between(10, 200_000)),
            "target": round(dice.uniform(45, 97), 1),
            "real_cost": dice.choice([0, 1, between(0.1, 10)]),
            "syn_cost": dice.choice([0, 0.05, between(0.001, 1)]),
        }
        for number in range(count)
    ]


def test_the_page_answers_as_the_command_line_does(browser: Any) -> None:
    with opened(browser, ASKED) as (page, trouble):
        ready(page)
        for question in questions(4):
            ask(page, question)
            for index, name in enumerate(FITS, start=1):
                assert told(page, f"arm-{index}") == expected(fit(name), question), question
        assert not trouble


def test_where_synthetic_images_do_harm_page_and_command_line_say_the_same(
    browser: Any, tmp_path: Path
) -> None:
    made = Fit.load(ROOT / "fits" / "study-fashion" / "fashion_mnist-edm-base-joint.json")
    said = {}
    with opened(browser, write_report((made,), tmp_path / "page.html")) as (page, trouble):
        ready(page)
        for base, real in ((500, 500), (1000, 500), (700, 700)):
            question = questions(1)[0] | {"n_base": base, "n_real_plus": real}
            ask(page, question)
            said[base] = told(page, "arm-1")[0]
            assert said[base] == expected(made, question)[0]
        assert not trouble
    assert "Beyond about 750, synthetic images alone do harm: accuracy falls from 79.6" in said[500]
    assert "Synthetic images alone do harm: accuracy falls from 82.8" in said[1000]
    assert "harm" not in said[700], "nothing was tried there"


def test_its_numbers_are_those_of_the_json(browser: Any) -> None:
    question = questions(1)[0]
    with opened(browser, ASKED) as (page, _):
        ready(page)
        ask(page, question)
        found = page.evaluate("page.fits[1].answers")
    made, base = fit(FITS[1]), question["n_base"]
    near(found["forward"], made.equivalence(n_base=base, n_real_plus=question["n_real_plus"]).to_json())
    near(found["backward"], made.equivalence(n_base=base, n_syn_plus=question["n_syn_plus"]).to_json())
    prices = {name: question[name] for name in ("real_cost", "syn_cost")}
    plan = cheapest_mix(made, n_base=base, target_accuracy=question["target"], **prices)
    near(found["plan"], {name: value for name, value in plan.to_json().items() if name != "frontier"})


def near(found: Any, wanted: Any) -> None:
    """Hold that the page's numbers are those of the JSON, to its seven digits."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            near(found[name], value)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-9)
    elif wanted is None:
        assert found is None or not math.isfinite(found)
    else:
        assert found == wanted


def test_sliders_and_keys_ask_too(browser: Any) -> None:
    with opened(browser, ASKED) as (page, trouble):
        ready(page)
        before = told(page, "arm-1")[0]
        page.focus("#n_real_plus-slider")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector('#answers[data-state="working"]')
        ready(page)
        question = {name: float(page.input_value(f"#{name}")) for name in questions(1)[0]}
        assert told(page, "arm-1") == expected(fit(FITS[0]), question)
        assert told(page, "arm-1")[0] != before
        assert f"--n-real-plus {question['n_real_plus']:g}" in page.text_content("#commands")
        page.fill("#n_base", "-5")
        page.wait_for_selector('#answers[data-state="refused"]')
        assert page.text_content("#trouble") == "n_base is -5; it must be a finite number and not negative"
        assert not trouble


def test_marks_of_figures_tell_their_numbers(browser: Any) -> None:
    with opened(browser, ASKED) as (page, trouble):
        canvas = page.locator("#arm-1-accuracy-curves .canvas")
        canvas.focus()
        page.keyboard.press("ArrowRight")
        by_key = page.text_content("#tip")
        assert "base images" in by_key and "%" in by_key
        page.keyboard.press("Escape")
        assert page.locator("#tip").is_hidden()
        canvas.locator(".spots circle").nth(2).hover()
        assert page.text_content("#tip") != by_key
        assert not trouble


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_nothing_is_fetched_and_nothing_fails(browser: Any, path: Path) -> None:
    with opened(browser, path) as (page, trouble):
        if page.locator("#ask").count():
            ready(page)
        policy = page.get_attribute('meta[http-equiv="Content-Security-Policy"]', "content")
        assert "unsafe" not in policy
        # What the policy forbids fails, and is told: so the silence above means something.
        page.evaluate("fetch('https://example.org/').catch(() => null)")
        page.wait_for_function("true")
        assert [line for line in trouble if "example.org" in line]
        assert all("example.org" in line for line in trouble)
        with page.expect_download() as download:
            page.evaluate("document.querySelector('details a[download]').click()")
        assert Path(download.value.path()).read_text().count("\n") > 1


def test_on_paper_what_tells_is_open_and_no_answer_is_half_done(browser: Any, tmp_path: Path) -> None:
    made = Fit.load(ROOT / "fits" / "quickstart-external.json")
    path = write_report((made,), tmp_path / "page.html")
    with opened(browser, path, java_script_enabled=False) as (page, _):
        surfaces = page.locator(".surfaces table").first
        assert surfaces.is_hidden()
        page.emulate_media(media="print")
        assert surfaces.is_visible()
        assert page.locator("figure details").first.is_hidden()
        assert page.locator("#ask").is_hidden()
    with opened(browser, path) as (page, _):
        ready(page)
        page.emulate_media(media="print")
        assert page.locator(".told").first.is_visible()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_without_scripts_the_page_is_whole(browser: Any, path: Path) -> None:
    with opened(browser, path, java_script_enabled=False) as (page, trouble):
        assert page.locator("h1").is_visible()
        assert page.locator(".answer strong").first.is_visible()
        if page.locator("#ask").count():
            assert page.locator("#asking").is_hidden()
            assert "mousterian equivalence" in page.locator("#ask").inner_text()
        drawings = page.locator("svg.drawing")
        assert drawings.count() > 5
        assert all(drawings.nth(index).is_visible() for index in range(drawings.count()))
        assert page.locator("table").count() > drawings.count()
        assert not trouble


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_axe_finds_nothing(browser: Any, path: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python brings axe-core")
    source = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    with opened(browser, path, color_scheme=scheme) as (page, _):
        if page.locator("#ask").count():
            ready(page)
        page.evaluate(source)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    faults = [
        (each["id"], node["target"], node["failureSummary"])
        for each in found["violations"]
        for node in each["nodes"]
    ]
    assert not faults


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, path: Path) -> None:
    with opened(browser, path, viewport={"width": 360, "height": 740}, is_mobile=True) as (page, _):
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_print_leaves_out_what_only_a_screen_can_do(browser: Any) -> None:
    with opened(browser, ASKED) as (page, _):
        ready(page)
        page.emulate_media(media="print")
        assert page.locator(".controls").is_hidden()
        assert page.locator(".bar").is_hidden()
        assert page.locator(".told").first.is_visible()
        assert page.locator("svg.drawing").first.is_visible()
