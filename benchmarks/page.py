"""How long the committed reports take to load in Chromium.

    python benchmarks/page.py
    python benchmarks/page.py --repeats 9 reports/study-fashion.html

Opens each page from its file in a fresh context, --repeats times, and reads the browser's own times: from
the start of the navigation to DOMContentLoaded, to load, and to the first answers of the page's calculator.
Prints rows for benchmarks/RESULTS.md: the median of the repeats, with the fastest and the slowest of load.
Needs the extra `dev` and Chromium (or MOUSTERIAN_CHROMIUM).
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

REPORTS = Path(__file__).parents[1] / "reports"
TIMES = """() => {
  const [navigation] = performance.getEntriesByType("navigation");
  return [navigation.domContentLoadedEventEnd, navigation.loadEventEnd];
}"""
WAIT = 120_000


def timed(browser: Any, path: Path) -> tuple[float, float, float]:
    """Return milliseconds until DOMContentLoaded, load and the first answers (NaN without a calculator)."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(path.resolve().as_uri(), wait_until="load")
        page.wait_for_timeout(50)  # the event's end is recorded after its handlers
        parsed, loaded = page.evaluate(TIMES)
        answered = float("nan")
        if page.locator("#answers").count():
            page.wait_for_selector('#answers[data-state="ready"]', timeout=WAIT)
            answered = page.evaluate("performance.now()")
    finally:
        context.close()
    return parsed, loaded, answered


def main() -> None:
    """Print a row for each page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, default=sorted(REPORTS.glob("*.html")))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    chromium = os.environ.get("MOUSTERIAN_CHROMIUM") or shutil.which("chromium")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    print("| page | size | DOMContentLoaded | load (fastest to slowest) | first answers |")
    print("|---|---|---|---|---|")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        for path in given.pages:
            timed(browser, path)  # the first one warms up the browser
            runs = list(zip(*(timed(browser, path) for _ in range(given.repeats)), strict=True))
            parsed, loaded, answered = (statistics.median(run) / 1000 for run in runs)
            span = f"{min(runs[1]) / 1000:.2f} to {max(runs[1]) / 1000:.2f}"
            asked = "–" if answered != answered else f"{answered:.1f} s"
            size = f"{path.stat().st_size / 1e6:.2f} MB"
            print(
                f"| `{path.name}` | {size} | {parsed:.2f} s | {loaded:.2f} s ({span}) | {asked} |", flush=True
            )
        browser.close()


if __name__ == "__main__":
    main()
