"""`mousterian fit` of rows made by several revisions of the code, or from files that have changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from simulated import table

from mousterian.api import Fit
from mousterian.fitting.arms import arms, read_arms
from mousterian.reporting.arm_trials import arm_rows
from mousterian.store.rows import Store

OWN = {"dataset": "digits", "model": "small_cnn", "strategy": "joint", "evaluation": "accuracy"}
OWN |= {f"{name}_options": "{}" for name in (*OWN, "recipe", "generator")} | {"recipe": "small"}


def rows(
    revisions: str, *, finished: str, stamps: str = "", sizes: Sequence[str] = ("alone", "real", "synthetic")
) -> pd.DataFrame:
    """Rows of one arm as a store has them; what they say of the generator stands in rows with its images."""
    frame = table(0.25)
    kind = pd.Series("alone", index=frame.index).mask(frame["n_real_plus"] > 0, "real")
    kind = kind.mask(frame["n_syn_plus"] > 0, "synthetic")
    real = ", ".join(each for each in revisions.split(", ") if not each.startswith("generator")) or "1"
    synthetic = kind == "synthetic"
    names = pd.Series([f"{revisions}|{stamps}|{n}" for n in frame.index])
    frame = frame.assign(
        **OWN,
        imbalance=1.0,
        n_upstream=0,
        trial=names,
        status="done",
        finished_at=finished,
        content_stamps=stamps,
    )
    frame["generator"] = synthetic.map({True: "edm", False: ""})
    frame["trained_on"] = synthetic.map({True: "base", False: ""})
    frame["code_revisions"] = synthetic.map({True: revisions or "1", False: real})
    return frame[kind.isin(list(sizes))]


def stored(folder: Path, *frames: pd.DataFrame) -> Path:
    for frame in frames:
        Store(folder).write_many(frame.to_dict("records"))
    return folder


def fitted(folder: Path, *where: str) -> tuple[pd.DataFrame, str]:
    """Return the rows of the only arm, and what is said of others."""
    (arm,), said = read_arms((), folder, where)
    return arm.rows, said


def test_rows_of_an_older_revision_are_left_out_and_their_cells_counted(tmp_path: Path, run) -> None:
    old, new = rows("", finished="2026-01-02"), rows("dataset 2", finished="2026-01-01")
    some = new[new["n_syn_plus"] <= 200]
    found, said = fitted(stored(tmp_path / "store", old, some))
    assert set(found["code_revisions"]) == {"dataset 2"} and len(found) == len(some)
    cells = old[old["n_syn_plus"] > 200][["n_base", "n_syn_plus"]].drop_duplicates()
    assert 0 < len(cells) < len(old)
    assert said == (
        f"{len(old)} trials of older code or files are left out; {len(cells)} of their cells are still to run"
        " with the newer (`mousterian grid` runs them)"
    )
    code, out, _ = run("fit", "--store", tmp_path / "store", "--out", "fits", "--bootstrap", 20)
    assert code == 0 and said in " ".join(out.split())
    (saved,) = (tmp_path / "fits").iterdir()
    made = Fit.load(saved)
    assert len(made.data) == len(some) and made.labels["code_revisions"] == "dataset 2"
    assert len(arm_rows(made, str(tmp_path / "store"))) == len(some)
    run(
        "fit",
        "--store",
        tmp_path / "store",
        "--out",
        "old.json",
        "--where",
        "code_revisions=1",
        "--bootstrap",
        20,
    )
    assert len(arm_rows(Fit.load(tmp_path / "old.json"), str(tmp_path / "store"))) == len(old)


def test_older_rows_are_fitted_by_naming_them(tmp_path: Path) -> None:
    old, new = (
        rows("generator 2", finished="2026-01-01"),
        rows("dataset 2, generator 3", finished="2026-01-02"),
    )
    folder = stored(tmp_path / "store", old, new, rows("", finished="2026", sizes=("synthetic",)))
    for text in ("1", "generator 2", "dataset 2, generator 3"):
        found, said = fitted(folder, f"code_revisions={text}")
        assert set(found.loc[found["n_syn_plus"] > 0, "code_revisions"]) == {text}
        assert (found["n_syn_plus"] == 0).sum() == 27 and said == ""


def test_real_rows_serve_every_revision_of_the_generator(tmp_path: Path) -> None:
    old = rows("", finished="2026-01-01")
    new = rows("generator 2", finished="2026-01-02", sizes=("synthetic",))
    found, said = fitted(stored(tmp_path / "store", old, new))
    assert set(found.loc[found["n_syn_plus"] > 0, "code_revisions"]) == {"generator 2"}
    assert (found["n_syn_plus"] == 0).sum() == 27
    assert f"{len(new)} trials of older code" in said and "0 of their cells are still to run" in said


def test_a_newer_version_without_real_additions_waits_and_says_so(tmp_path: Path) -> None:
    old = rows("", finished="2026-01-01")
    new = rows("model 2", finished="2026-01-02", sizes=("alone",))
    found, said = fitted(stored(tmp_path / "store", old, new))
    assert set(found["code_revisions"]) == {"1"} and len(found) == len(old)
    assert said.startswith(f"{len(new)} trials of newer code or files are left out")


def test_of_one_revision_the_last_finished_content_is_fitted(tmp_path: Path) -> None:
    first, second = (rows("", finished=f"2026-01-0{n}", stamps=f"dataset {'ab'[n - 1]}") for n in (1, 2))
    found, said = fitted(stored(tmp_path / "store", second, first))
    assert set(found["content_stamps"]) == {"dataset b"} and f"{len(first)} trials of older" in said
    found, said = fitted(tmp_path / "store", "content_stamps=dataset a")
    assert set(found["content_stamps"]) == {"dataset a"} and said == ""


@pytest.mark.parametrize("columns", [["code_revisions"], ["code_revisions", "content_stamps"]])
def test_a_table_without_versions_is_one_arm_as_it_was(columns: list[str]) -> None:
    both = pd.concat(
        [rows("", finished="2026-01-01"), rows("model 2", finished="2026-01-02")], ignore_index=True
    )
    ((_, found),) = arms(both.drop(columns=columns)).values()
    assert len(found) == len(both)
