"""How long the committed reports take to load in Chromium, and how near their answers are to the fits' own.

    python benchmarks/page.py
    python benchmarks/page.py --repeats 9 reports/study-fashion.html
    python benchmarks/page.py --questions 100

Opens each page from its file in a fresh context, --repeats times, and reads the browser's own times: from
the start of the navigation to DOMContentLoaded, to load, and to the first answers of the page's calculator.
With --questions, asks each arm of a page as many at random, and compares with the fit that its command names:
a third of them at measured bases, half with counts inside the measured range. Prints rows for
benchmarks/RESULTS.md: the median of the repeats, with the fastest and the slowest of load; or the size of
the curves, and the error that 95 % of the answers keep and the largest. Needs the extra `dev` and Chromium
(or MOUSTERIAN_CHROMIUM).
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import shlex
import shutil
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from mousterian.api import Fit
from mousterian.fitting.interval import Interval
from mousterian.fitting.surface import Points

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


def times(browser: Any, pages: list[Path], repeats: int) -> None:
    """Print how long each page takes."""
    print("| page | size | DOMContentLoaded | load (fastest to slowest) | first answers |")
    print("|---|---|---|---|---|")
    for path in pages:
        timed(browser, path)  # the first one warms up the browser
        runs = list(zip(*(timed(browser, path) for _ in range(repeats)), strict=True))
        parsed, loaded, answered = (statistics.median(run) / 1000 for run in runs)
        span = f"{min(runs[1]) / 1000:.2f} to {max(runs[1]) / 1000:.2f}"
        asked = "–" if answered != answered else f"{answered:.1f} s"
        size = f"{path.stat().st_size / 1e6:.2f} MB"
        print(f"| `{path.name}` | {size} | {parsed:.2f} s | {loaded:.2f} s ({span}) | {asked} |", flush=True)


def questions(made: Fit, ends: list[float], count: int) -> list[dict[str, float]]:
    """Return random questions between the first and the last of the measured bases."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        between = np.exp(rng.uniform(np.log(ends[0]), np.log(ends[-1])))
        base = ends[index % len(ends)] if index % 3 == 0 else min(max(round(between), ends[0]), ends[-1])
        inside = made.measured.nearest(Points.of(base, [np.inf, 0.0], [0.0, np.inf]))
        most = (inside.n_real_plus[0], inside.n_syn_plus[1])
        if index % 2:
            most = (made.averaged.most_real, made.averaged.most_synthetic)
        real, syn = (round(np.exp(rng.uniform(0.0, np.log(max(each, 2.0))))) for each in most)
        found.append({"n_base": base, "n_real_plus": real, "n_syn_plus": syn})
    return found


def error(found: Any, wanted: Any, least: float = np.inf) -> float:
    """Return the largest error of an interval: of accuracies, or relative (to `least` below it)."""
    if not isinstance(wanted, Interval) or found is None:
        return 0.0 if found is None or found == wanted else np.inf
    pairs = [(found[name], getattr(wanted, name)) for name in ("estimate", "low", "high")]
    scales = [1.0 if np.isinf(least) else max(two, least) for _, two in pairs]
    errors = [abs(one - two) / scale for (one, two), scale in zip(pairs, scales, strict=True) if one != two]
    return max(errors, default=0.0)


def errors(page: Any, index: int, made: Fit, count: int) -> dict[str, list[float]]:
    """Return the errors of an arm's answers: accuracies in points, others relative to 100 images or 0.1."""
    arm = f"page.fits[{index}]"
    asked = questions(made, page.evaluate(f"{arm}.ends.map((end) => {arm}.bases[end])"), count)
    answers = page.evaluate(f"asked => asked.map(each => answersOf({arm}, each))", asked)
    found = defaultdict(list)
    for question, answer in zip(asked, answers, strict=True):
        base, real, syn = question.values()
        forward = made.equivalence(n_base=base, n_real_plus=real).n_syn_plus
        backward = made.equivalence(n_base=base, n_syn_plus=syn).n_real_plus
        found["equivalence"].append(error(answer["forward"]["n_syn_plus"], forward, 100.0))
        found["worth"].append(error(answer["backward"]["n_real_plus"], backward, 100.0))
        found["rate"].append(error(answer["rate"]["marginal_rate"], made.marginal_rate(n_base=base), 0.1))
        for kind, added in (("real", (real, 0)), ("synthetic", (0, syn))):
            inside = made.measured.trust(base, *added) == "inside"
            points = 100 * error(answer[kind], made.predict(base, *added))
            found["accuracy inside" if inside else "accuracy beyond"].append(points)
    return found


def told(values: list[float], scale: float = 1.0, digits: int = 4) -> str:
    """Return the 95 % quantile and the largest of some errors."""
    return (
        f"{scale * np.quantile(values, 0.95, method='lower'):.{digits}f} / {scale * max(values):.{digits}f}"
    )


def compare(browser: Any, path: Path, count: int) -> None:
    """Print a row for each arm of a page that has a calculator."""
    text = path.read_text(encoding="utf-8")
    data = re.findall(r'<script type="application/json" id="fits">(.*?)</script>', text, re.S)
    if not data:
        return
    [command] = re.findall(r"<dt>Command</dt><dd>mousterian (.*?)</dd>", text)
    files = [each for each in shlex.split(html.unescape(command)) if each.endswith(".json")]
    page = browser.new_page()
    page.goto(path.resolve().as_uri(), wait_until="load")
    page.wait_for_selector('#answers[data-state="ready"]', timeout=WAIT)
    for index, arm in enumerate(json.loads(data[0])):
        found = errors(page, index, Fit.load(REPORTS.parent / files[index]), count)
        size = f"{len(json.dumps(arm)) / 1000:.0f} kB, {len(arm['bases'])} bases"
        counts = " | ".join(told(found[name], 100, 2) for name in ("equivalence", "worth", "rate"))
        points = " | ".join(told(found[f"accuracy {where}"]) for where in ("inside", "beyond"))
        print(f"| `{path.stem}`, {arm['anchor']} | {size} | {counts} | {points} |", flush=True)
    page.close()


def main() -> None:
    """Print a row for each page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, default=sorted(REPORTS.glob("*.html")))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--questions", type=int, default=0)
    given = parser.parse_args()
    chromium = os.environ.get("MOUSTERIAN_CHROMIUM") or shutil.which("chromium")
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        if given.questions:
            print(
                "| page | curves | equivalence, % | worth, % | rate, % | accuracy inside | beyond, points |"
            )
            print("|---|---|---|---|---|---|---|")
            for path in given.pages:
                compare(browser, path, given.questions)
        else:
            times(browser, given.pages, given.repeats)
        browser.close()


if __name__ == "__main__":
    main()
