from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from mousterian.answers import numbers, wording
from mousterian.api import Fit, fit
from mousterian.errors import InputError
from mousterian.fitting import surface
from mousterian.reporting.page import About, contents, render, write_page

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
# Elements that send requests or run code.
ACTIVE = {"img", "iframe", "object", "embed", "form", "base", "video", "audio"}
VOID = {"meta", "link", "br", "hr", "img", "input"}
ABOUT = About(provenance={"Grid": "grids/x.toml"})
SCRIPT = re.compile(r"<script>(.*?)</script>", re.S)


@cache
def fitted(gain: float, name: str = "digits-edm", trained_on: str = "upstream") -> Fit:
    """Return a fit where adding r synthetic images gains `gain`·ln(1 + r), and r real ones gain r."""
    rows = [
        (
            base,
            real * base,
            syn * base,
            seed,
            0.6 + 0.03 * np.log(base) + 0.02 * real + 0.02 * gain * np.log1p(syn),
        )
        for base in (50, 200)
        for seed in (0, 1)
        for real, syn in ((0, 0), (0.5, 0), (1, 0), (0, 1), (0, 4))
    ]
    table = pd.DataFrame(rows, columns=["n_base", "n_real_plus", "n_syn_plus", "training_seed", "accuracy"])
    table["accuracy"] += np.random.default_rng(0).normal(0, 0.001, len(table))
    labels = {"dataset": name, "generator": name, "trained_on": trained_on, "model": name}
    return fit(table, surface="loglinear", bootstrap=20, name=name, labels=labels)


class Page(HTMLParser):
    """A page as its elements with their attributes and their text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.path: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.path.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.path):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@cache
def html() -> str:
    return render(contents((fitted(1.0, "external"), fitted(0.01, HOSTILE, "base")), About(title=HOSTILE)))


@cache
def alone() -> str:
    return render(contents((fitted(1.0, "external"),), ABOUT))


@cache
def page() -> Page:
    return Page(html())


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_page_sends_no_requests_and_runs_only_its_own_script() -> None:
    policy = next(
        m["content"] for m in page().named("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    [script] = SCRIPT.findall(html())
    [style] = re.findall(r"<style>(.*?)</style>", html(), re.S)
    assert f"style-src {digest(style)}; script-src {digest(script)};" in policy
    assert [attributes.get("type") for attributes in page().named("script")] == ["application/json", None]
    assert not [attributes for _, attributes in page().elements if "style" in attributes]
    assert not {tag for tag, _ in page().elements} & ACTIVE
    for _, attributes in page().elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "url(http" not in html()
    assert "@import" not in html()


def test_a_hostile_name_stays_text() -> None:
    assert html().count("<script") == 2, "the fits' numbers, and the page's own script"
    assert HOSTILE in page().text
    assert not page().path, "every element is closed"


def test_the_page_is_accessible() -> None:
    assert page().named("html") == [{"lang": "en"}]
    assert len(page().named("h1")) == len(page().named("main")) == 1
    head, _, body = html().partition("</head>")
    assert head.count("<title>") == 1
    assert body.count("<title>") == body.count("<circle "), "only marks of figures have titles in the body"
    levels = [int(tag[1]) for tag, _ in page().elements if tag in {"h1", "h2", "h3", "h4"}]
    assert all(after - before <= 1 for before, after in pairwise(levels)), "a level of headings is skipped"
    assert all(cell.get("scope") in {"col", "row"} for cell in page().named("th"))
    assert len(page().named("table")) == len(page().named("caption"))
    drawings = page().named("svg")
    # Both arms side by side, and six figures of each (a single surface has no weights to show), but for the
    # second, no mixture of which does what its real images do, the curve of mixtures.
    assert len(drawings) == 1 + 6 + 5
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in drawings)


def test_links_resolve_and_identifiers_are_unique() -> None:
    identifiers = [attributes["id"] for _, attributes in page().elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    links = {str(a["href"]) for a in page().named("a")}
    inside = {link for link in links if link.startswith("#")}
    assert inside <= {f"#{identifier}" for identifier in identifiers}
    assert {"#content", "#comparison", "#arm-1", "#arm-2", "#provenance"} <= links


def test_every_figure_carries_its_numbers_as_csv() -> None:
    downloads = {str(a["download"]): str(a["href"]) for a in page().named("a") if "download" in a}
    assert len(downloads) == len(page().named("svg"))
    start = "data:text/csv;charset=utf-8,"
    found = pd.read_csv(io.StringIO(unquote(downloads["arm-1-improvement-ratio.csv"].removeprefix(start))))
    pd.testing.assert_frame_equal(found, fitted(1.0, "external").ratio(), rtol=1e-6, check_dtype=False)


def test_where_synthetic_images_stop_helping_is_shown() -> None:
    assert "Synthetic images alone still helped at the most that were tried, 200" in Page(alone()).text


def test_answers_come_first_and_are_the_fits_own() -> None:
    text = page().text
    external = wording.answer(fitted(1.0, "external"), 50, 50)
    assert external.equivalence.reachable
    assert text.index(external.text) < text.index("Side by side The arms side by side")
    assert "The answer lies inside the measured range." in text
    formula = fitted(1.0, "external").formula()
    assert formula
    assert formula.mathml in html()
    assert formula.text in text


def test_unreachable_answers_have_the_saturation_accuracy() -> None:
    found = fitted(0.01, HOSTILE, "base").equivalence(n_base=200, n_real_plus=200)
    assert not found.reachable
    saturation = numbers.percent(found.saturation_accuracy).replace("\N{NO-BREAK SPACE}", " ")
    assert f"not reachable; {saturation} at best" in page().text


def test_embedded_data_are_the_fits_and_cannot_close_their_element() -> None:
    hostile = fitted(0.01, "</script>" + HOSTILE, "base")
    text = render(contents((hostile,)))
    [data] = re.findall(r'<script type="application/json" id="fits">(.*?)</script>', text, re.S)
    [arm] = json.loads(data)
    assert arm["generator"].startswith("</script>")
    assert [arm["bases"][end] for end in arm["ends"]] == [50, 200]
    assert arm["most"] == {"real": hostile.averaged.most_real, "synthetic": hostile.averaged.most_synthetic}


def test_the_script_knows_no_surface() -> None:
    [script] = SCRIPT.findall(alone())
    assert not [name for name in surface.names() if name in script]


def test_arms_stand_side_by_side_and_say_whether_internal() -> None:
    # Beside its answer and above its section; the other arm is named "external", and tagged so.
    assert page().texts.count("internal") == 2
    assert "Side by side" in page().text
    assert "Side by side" not in Page(alone()).text


def test_a_fit_fresh_or_saved_gives_the_same_bytes(tmp_path: Path) -> None:
    fitted(1.0, "external").save(tmp_path / "fit.json")
    saved = Fit.load(tmp_path / "fit.json")
    path = tmp_path / "new" / "report.html"
    write_page(contents((saved,), ABOUT), path)
    assert path.read_bytes() == alone().encode()
    assert path.stat().st_size < 2_000_000
    assert "grids/x.toml" in Page(path.read_text()).text


def test_without_synthetic_images_the_report_says_so_and_answers_nothing() -> None:
    rows = fitted(1.0, "external").data
    real = fit(rows[rows["n_syn_plus"] == 0], surface="loglinear", bootstrap=20, name="real only")
    text = Page(render(contents((real,)))).text
    assert "nothing can be said yet: no trial adds synthetic images to a base." in text
    assert "Contour map: no trial adds synthetic images to a base, so what they are worth cannot" in text
    assert "at best" not in text


def test_a_formula_that_would_print_as_zero_is_shown_as_its_limit() -> None:
    rows = [
        (base, real, syn, 0.99 - 1.02 * (base + real + 0.5 * syn) ** -0.46)
        for base in (50, 200, 800)
        for real, syn in ((0, 0), (base, 0), (0, base), (0, 4 * base))
    ]
    table = pd.DataFrame(rows, columns=["n_base", "n_real_plus", "n_syn_plus", "accuracy"])
    made = fit(table, surface="effective_data", bootstrap=20)
    found = Page(render(contents((made,))))
    # One real image is worth two synthetic ones, however many there are.
    assert "n_syn_plus ≃ 2 · 1^(n_base/800) · n_real_plus" in found.text
    assert not found.named("math")


def test_no_fit_is_refused() -> None:
    with pytest.raises(InputError, match="at least one fit"):
        contents(())


def _a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "report.html"


def _a_folder(folder: Path) -> Path:
    (folder / "report.html").mkdir()
    return folder / "report.html"


@pytest.mark.parametrize("target", [_a_file, _a_folder])
def test_a_place_that_cannot_be_written_is_refused(target: Callable[[Path], Path], tmp_path: Path) -> None:
    shown = contents((fitted(1.0, "external"),))
    with pytest.raises(InputError, match="cannot"):
        write_page(shown, target(tmp_path))
