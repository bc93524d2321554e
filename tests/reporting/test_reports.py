"""The committed reports: each is what its own command makes of the committed fits, byte for byte.

But for the line that says which versions of Python and of packages have made it.
"""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT

from mousterian.__main__ import main

PAGES = sorted((ROOT / "reports").glob("*.html"))
# Drawing takes seconds an arm: a page of one arm and the published study's stand for all in every run.
QUICK = {"mousterian-table-3", "study-fashion"}


def command(page: Path) -> list[str]:
    """Return the arguments of the command that a page says it was made with."""
    [line] = re.findall(r"<dt>Command</dt><dd>mousterian (.*?)</dd>", page.read_text(encoding="utf-8"))
    return shlex.split(html.unescape(line))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=() if page.stem in QUICK else pytest.mark.slow, id=page.stem)
        for page in PAGES
    ],
)
def test_its_command_makes_the_page_again(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        main([*command(page), "--out", str(tmp_path / "again.html")])
    assert ended.value.code == 0
    # A line at a time, so that a difference can be read.
    made, published = (
        [line for line in path.read_bytes().splitlines(keepends=True) if b"<dt>Made with</dt>" not in line]
        for path in (tmp_path / "again.html", page)
    )
    assert made == published


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_small_and_has_no_paths_of_the_machine_that_made_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(re.sub(r'"data:image/png;base64,[^"]*"', '""', text).encode()) < 2_000_000
    assert page.stat().st_size < 3_000_000
    assert str(ROOT) not in text


def test_pages_are_made_of_committed_fits_alone() -> None:
    named = {argument for page in PAGES for argument in command(page) if argument.endswith(".json")}
    assert {"fits/mousterian-table-3.json", "fits/quickstart-external.json"} <= named
    assert named <= {str(path.relative_to(ROOT)) for path in (ROOT / "fits").rglob("*.json")}


def test_arms_of_one_name_are_distinguished_by_all_that_differs() -> None:
    page = (ROOT / "reports" / "study-fashion-compared.html").read_text(encoding="utf-8")
    for name in ("edm-upstream-width=16-steps=4000", "edm-upstream-width=8-steps=1000", "ddpm-upstream"):
        assert f">fashion_mnist-{name}</a>" in page
