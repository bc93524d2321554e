"""Chromium for tests of pages: `started` for a fixture, and pages opened in it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")

CHROMIUM = os.environ.get("MOUSTERIAN_CHROMIUM") or shutil.which("chromium")
# Set in CI, which installs Chromium: there, a missing browser is a failure rather than a reason to skip.
REQUIRED = os.environ.get("MOUSTERIAN_BROWSER_TESTS") == "1"
needs_chromium = pytest.mark.skipif(
    not CHROMIUM and not REQUIRED, reason="Chromium is not installed (Debian: apt-get install chromium)"
)
# A page of several fits with a calculator.
CALCULATOR = ROOT / "reports" / "mousterian-table-4.html"
# Milliseconds: a browser beside other work on two cores is slow, and these tests do not measure speed.
WAIT = 240_000


def started() -> Iterator[Any]:
    assert CHROMIUM, "Chromium is not installed"
    # Chromium's sandbox refuses to run as root; only our own files are opened.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=WAIT)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Any, path: Path, **options: Any) -> Iterator[tuple[Any, list[str]]]:
    """Open a page; yield it and a list of its console messages, errors and requests."""
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT)
    page, problems = context.new_page(), []
    page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    own = path.as_uri()
    page.on("request", lambda request: problems.append(request.url) if request.url != own else None)
    page.goto(own)
    try:
        yield page, problems
    finally:
        context.close()


def ready(page: Any) -> None:
    page.wait_for_selector('#answers[data-state="ready"]', timeout=WAIT)
