"""docs/answers.md: its JSON keys are those that the commands print, and its Python code runs."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mousterian
from mousterian.answers.comparison import to_json
from mousterian.answers.plan import cheapest_mix

PAGE = (Path(__file__).parents[2] / "docs" / "answers.md").read_text(encoding="utf-8")
# Internal parts of a saved fit, documented as such.
OWN = {"data", "search_limits", "draws", "extrapolation"}
# Objects whose keys are names or terms.
NAMED = ("labels", "parameters", "facts", "provenance", "not_drawn")
INTERVAL = {"estimate", "low", "high"}


def documented(table: str) -> dict[str, str]:
    """Return the keys of a table of the page with their types."""
    rows = re.search(rf"^\| {table} \| type \| meaning \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.M)
    assert rows is not None
    cells = [line.strip("|\n ").split(" | ") for line in rows.group(1).splitlines()]
    return {key.strip("` "): kind for key, kind, *_ in cells}


def paths(value: Any, at: str = "") -> Iterator[str]:
    """Return the path of every key that holds no further documented ones; intervals count as one."""
    if isinstance(value, dict) and set(value) != INTERVAL:
        for key, inner in value.items():
            named = "NAME" if at.endswith(NAMED) else key
            yield from paths(inner, f"{at}.{named}" if at else named)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from paths(value[0], f"{at}[]")
    else:
        yield at


@pytest.fixture(scope="module")
def fit() -> mousterian.Fit:
    return mousterian.fit("published:mousterian/table-3", bootstrap=50)


def test_every_key_of_a_fit_is_documented_and_there(fit: mousterian.Fit) -> None:
    printed = {name: value for name, value in fit.to_json().items() if name not in OWN}
    assert set(fit.to_json()) - set(printed) == OWN
    # `formula` itself is documented because it may be null.
    assert set(paths(printed)) | {"formula"} == set(documented("fit"))


def test_every_key_of_an_equivalence_is_documented_and_there(fit: mousterian.Fit) -> None:
    for asked in ({"n_real_plus": 500.0}, {"n_syn_plus": 500.0}):
        found = fit.equivalence(n_base=5000, **asked).to_json()
        assert set(paths(found)) == set(documented("equivalence"))


def test_every_key_of_a_plan_is_documented_and_there(fit: mousterian.Fit) -> None:
    made = cheapest_mix(fit, n_base=5000, target_accuracy=0.8, real_cost=1, syn_cost=0.1)
    assert made.reachable
    assert set(paths(made.to_json())) == set(documented("plan"))


def test_every_key_of_a_report_is_documented_and_there(run, fit: mousterian.Fit, tmp_path: Path) -> None:
    fit.save(tmp_path / "fit.json")
    code, out, _ = run("report", "fit.json", "--out", "page.html", "--json")
    printed = json.loads(out)
    assert code == 0 and json.loads(json.dumps(printed, allow_nan=False)) == printed
    [arm] = printed["arms"]
    answer = fit.equivalence(
        n_base=arm["equivalence"]["n_base"], n_real_plus=arm["equivalence"]["n_real_plus"]
    )
    assert arm["equivalence"] == answer.to_json()
    assert arm["answer"] in html.unescape(re.sub(r"<[^>]*>", "", (tmp_path / "page.html").read_text()))
    # The keys of equivalences have a table of their own.
    arm |= {"equivalence": None, "equivalences": []}
    assert set(paths(printed)) == set(documented("report"))


def test_every_key_of_a_comparison_is_documented_and_there(fit: mousterian.Fit) -> None:
    found = to_json(mousterian.compare({"one": fit, "two": fit}))
    assert set(paths(found)) == set(documented("compare"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_intervals_are_where_the_page_says(fit: mousterian.Fit) -> None:
    found = fit.to_json()
    for key, kind in documented("fit").items():
        if kind == "interval" and key.startswith("formula."):
            assert set(found["formula"][key.removeprefix("formula.")]) == INTERVAL


def test_the_pages_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["answer"].n_syn_plus.estimate > 0
    assert (tmp_path / "fit.json").exists()
