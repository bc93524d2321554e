"""The committed reports in a real browser: no requests, no errors, accessible, printable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chromium import CALCULATOR, needs_chromium, opened, ready, started
from conftest import ROOT

from mousterian.api import Fit
from mousterian.reporting.page import contents, write_page

pytestmark = needs_chromium
PAGES = sorted((ROOT / "reports").glob("*.html"))
browser = pytest.fixture(started, scope="module")


def test_marks_of_figures_have_tooltips(browser: Any) -> None:
    with opened(browser, CALCULATOR) as (page, problems):
        canvas = page.locator("#arm-1-accuracy-curves .canvas")
        canvas.focus()
        page.keyboard.press("ArrowRight")
        by_key = page.text_content("#tip")
        assert "base images" in by_key and "%" in by_key
        page.keyboard.press("Escape")
        assert page.locator("#tip").is_hidden()
        canvas.locator(".spots circle").nth(2).hover()
        assert page.text_content("#tip") != by_key
        assert not problems


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_nothing_is_fetched_and_nothing_fails(browser: Any, path: Path) -> None:
    with opened(browser, path) as (page, problems):
        if page.locator("#ask").count():
            ready(page)
        policy = page.get_attribute('meta[http-equiv="Content-Security-Policy"]', "content")
        assert "unsafe" not in policy
        # A forbidden request is reported: so the absence of reports above is meaningful.
        page.evaluate("fetch('https://example.org/').catch(() => null)")
        page.wait_for_function("true")
        assert [line for line in problems if "example.org" in line]
        assert all("example.org" in line for line in problems)
        with page.expect_download() as download:
            page.evaluate("document.querySelector('details a[download]').click()")
        assert Path(download.value.path()).read_text().count("\n") > 1


def test_printed_pages_show_the_surfaces_and_finished_answers(browser: Any, tmp_path: Path) -> None:
    made = Fit.load(ROOT / "fits" / "quickstart-external.json")
    write_page(contents((made,)), tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html", java_script_enabled=False) as (page, _):
        surfaces = page.locator(".surfaces table").first
        assert surfaces.is_hidden()
        page.emulate_media(media="print")
        assert surfaces.is_visible()
        assert page.locator("figure details").first.is_hidden()
        assert page.locator("#ask").is_hidden()
    with opened(browser, tmp_path / "page.html") as (page, _):
        ready(page)
        page.emulate_media(media="print")
        assert page.locator(".told").first.is_visible()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_without_scripts_the_page_is_complete(browser: Any, path: Path) -> None:
    with opened(browser, path, java_script_enabled=False) as (page, problems):
        assert page.locator("h1").is_visible()
        assert page.locator(".answer strong").first.is_visible()
        if page.locator("#ask").count():
            assert page.locator("#asking").is_hidden()
            assert "mousterian equivalence" in page.locator("#ask").inner_text()
        drawings = page.locator("svg.drawing")
        assert drawings.count() > 5
        assert all(drawings.nth(index).is_visible() for index in range(drawings.count()))
        assert page.locator("table").count() > drawings.count()
        assert not problems


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
    with opened(browser, CALCULATOR) as (page, _):
        ready(page)
        page.emulate_media(media="print")
        assert page.locator(".controls").is_hidden()
        assert page.locator(".bar").is_hidden()
        assert page.locator(".told").first.is_visible()
        assert page.locator("svg.drawing").first.is_visible()
