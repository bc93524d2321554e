"""`mousterian report --follow`: the page is made again as trials come in, and at last as without it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from test_store_figures import row

from mousterian import plugins, publishing, watching
from mousterian.api import fit
from mousterian.errors import InputError
from mousterian.publishing import Followed, Request
from mousterian.store import Store

REFRESH = re.compile(r'<meta http-equiv="refresh" content="(\d+)">')
CELLS = [(0, 0), (0.5, 0), (1, 0), (0, 1), (0, 4)]
ROWS = [
    row(base, int(real * base), int(syn * base), seed, pool="")
    for seed in (0, 1)
    for base in (40, 160)
    for real, syn in CELLS
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit one surface and draw one figure: pages come and go here as they do with all of them."""
    working = plugins.working
    curves = {"accuracy_curves": working("figures")["accuracy_curves"]}
    monkeypatch.setattr(plugins, "working", lambda kind: curves if kind == "figures" else working(kind))
    monkeypatch.setattr(publishing.equivalence, "fit", partial(fit, surface="loglinear"))


def asked(folder: Path) -> Request:
    return Request((), folder / "fits", folder / "store", folder / "page.html")


def looks(monkeypatch: pytest.MonkeyPatch, *between: Callable[[], None]) -> None:
    """Let something happen between one look and the next; a look too many is a failure."""
    happens = iter(between)
    monkeypatch.setattr(publishing.time, "sleep", lambda _: next(happens)())


def interrupted() -> None:
    raise KeyboardInterrupt


def test_pages_follow_a_store_that_grows_until_the_grids_last_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request, store, pages = asked(tmp_path), Store(tmp_path / "store"), []
    monkeypatch.setattr(watching, "trials_of", lambda *_: {each["trial"]: ("edm base", 50) for each in ROWS})
    looks(
        monkeypatch,
        lambda: store.write_many(ROWS[:2]),  # too few for a fit
        lambda: store.write_many(ROWS[2:12]),
        lambda: None,  # nothing new, no new page
        lambda: store.write_many(ROWS[12:]),
    )
    grid = tmp_path / "grid.toml"
    publishing.follow(request, Followed(2, grid), lambda _: pages.append(request.out.read_text()))
    passing, last = pages
    assert "12 of 20 so far" in passing
    assert REFRESH.findall(passing) == ["2"]
    assert not REFRESH.findall(last)
    assert "so far" not in last
    assert capsys.readouterr().err.count("no page yet: ") == 2, "no store; then too few rows"
    again = tmp_path / "again.html"
    publishing.publish(Request((), request.folder, request.store, again))
    assert again.read_text() == last == request.out.read_text()
    assert not list(tmp_path.glob(".*")), "nothing half-written is left"


def test_ctrl_c_leaves_the_page_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request, pages = asked(tmp_path), []
    Store(tmp_path / "store").write_many(ROWS)
    looks(monkeypatch, interrupted)
    publishing.follow(request, Followed(0.1), lambda _: pages.append(request.out.read_text()))
    assert [len(REFRESH.findall(page)) for page in pages] == [1, 0]


def test_ctrl_c_before_there_is_anything_ends_it_without_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, interrupted)
    publishing.follow(asked(tmp_path), Followed(1), lambda _: pytest.fail("a page of nothing"))
    assert not (tmp_path / "page.html").exists()


def test_a_saved_fit_is_followed_without_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, pages = tmp_path / "fits", []

    def made(name: str) -> Callable[[], None]:
        table = Store(tmp_path / "store").read()
        return lambda: fit(table, surface="loglinear", bootstrap=20, name=name).save(folder / f"{name}.json")

    Store(tmp_path / "store").write_many(ROWS)
    looks(monkeypatch, made("one"), made("two"), interrupted)
    request = Request((), folder, None, tmp_path / "page.html")
    publishing.follow(request, Followed(1), lambda _: pages.append(request.out.read_text()))
    assert ["two" in page for page in pages] == [False, True, True]


def test_what_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than 0"):
        publishing.follow(asked(tmp_path), Followed(0), print)
    with pytest.raises(InputError, match="only a store tells"):
        publishing.follow(Request((), tmp_path, None, tmp_path / "x"), Followed(1, tmp_path / "g"), print)
