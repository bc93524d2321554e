from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from mousterian.errors import InputError
from mousterian.seeds import canonical, text_digest
from mousterian.store import rows as store_module
from mousterian.store import schema
from mousterian.store.rows import Store
from mousterian.store.schema import COLUMNS, DIVERGED, DONE, FAILED
from mousterian.trials import grid


def row(trial: str, status: str = DONE, **values: Any) -> dict[str, Any]:
    evaluation = {"evaluation": "accuracy", "top1": 0.5, "correct": 300, "total": 600}
    return {"trial": trial, "cell": "c", "status": status, "n_base": 30, **evaluation, **values}


def test_rows_come_back_whole_and_explain_themselves(tmp_path: Path) -> None:
    Store(tmp_path).write([row("a" * 16, per_class=[0.25, 0.75])])
    path = tmp_path / "trials" / f"{'a' * 16}.done.parquet"
    frame = pd.read_parquet(path)
    assert list(frame.columns) == [column.name for column in COLUMNS]
    assert frame.loc[0, "top1"] == 0.5
    assert list(frame.loc[0, "per_class"]) == [0.25, 0.75]
    Store(tmp_path).write_many([row(f"{number:016d}") for number in range(100)])
    (joined,) = (tmp_path / "compact").iterdir()
    meaning = pq.read_schema(joined).field("n_base").metadata[b"meaning"].decode()
    assert meaning == "real images in the base training set S_base"


def test_one_evaluation_with_two_options_keeps_both_rows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write([row("a" * 16, evaluation_options=options) for options in ('{"n":1}', '{"n":2}')])
    store.compact()
    assert len(store.read()) == 2


def test_status_is_known_from_names_and_from_the_compacted_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write([row("a" * 16)])
    store.write([row("b" * 16, FAILED, error="out of memory")])
    before = store.status()
    assert before == {"a" * 16: DONE, "b" * 16: FAILED}
    assert store.compact() == 2
    assert store.status() == before
    assert not list((tmp_path / "trials").iterdir())


def test_a_failed_trial_that_succeeds_later_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write([row("a" * 16, FAILED)])
    store.compact()
    store.write([row("a" * 16, top1=0.9)])
    assert store.status() == {"a" * 16: DONE}
    assert store.read()["top1"].tolist() == [0.9]
    store.compact()
    assert store.read()["status"].tolist() == [DONE]


def test_of_two_outcomes_of_a_trial_the_better_one_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for trial, statuses in {"a": (FAILED, DIVERGED), "b": (DIVERGED, DONE), "c": (DONE, FAILED)}.items():
        for status in statuses:
            store.write([row(trial * 16, status)])
            store.compact()
    expected = {"a" * 16: DIVERGED, "b" * 16: DONE, "c" * 16: DONE}
    assert store.status() == expected
    assert dict(zip(store.read()["trial"], store.read()["status"], strict=True)) == expected


def test_a_store_that_is_compacted_while_it_is_read_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    for name in "abc":
        store.write([row(name * 16)])
    listed = Store._files

    def compacted_after_listing(folder: Path) -> Iterable[Path]:
        found = listed(folder)
        if folder.name == "trials" and not (tmp_path / "compact").exists():
            (tmp_path / "compact").mkdir()
            Store(tmp_path).compact()
        return found

    monkeypatch.setattr(Store, "_files", staticmethod(compacted_after_listing))
    assert len(store.read()) == 3
    assert not list((tmp_path / "trials").iterdir())


def test_compaction_cut_off_before_deleting_counts_no_trial_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    for name in "abc":
        store.write([row(name * 16)])
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: (_ for _ in ()).throw(SystemExit(9)))
    with pytest.raises(SystemExit):
        store.compact()
    monkeypatch.undo()
    assert len(store.read()) == 3
    assert store.compact() == 3
    assert len(store.read()) == 3


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        Store(tmp_path).write([row("a" * 16)])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_verify_names_corrupt_misnamed_and_leftover_files(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in "abc":
        store.write([row(name * 16)])
    trials = tmp_path / "trials"
    (trials / f"{'a' * 16}.done.parquet").write_bytes(b"PAR1 cut off")
    (trials / f"{'b' * 16}.done.parquet").rename(trials / f"{'d' * 16}.done.parquet")
    (trials / ".x.tmp").write_bytes(b"")
    faults = {path.name: fault for path, fault in store.verify()}
    assert set(faults) == {f"{'a' * 16}.done.parquet", f"{'d' * 16}.done.parquet", ".x.tmp"}


def test_reading_a_corrupt_file_names_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write([row("a" * 16)])
    (tmp_path / "trials" / f"{'a' * 16}.done.parquet").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="not a readable trial file") as caught:
        store.read()
    assert "aaaa.done.parquet" in caught.value.where


def test_a_store_from_a_newer_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(schema, "SCHEMA_VERSION", 99)
        Store(tmp_path).write([row("a" * 16)])
    before = sorted(tmp_path.rglob("*"))
    store = Store(tmp_path)
    for use in (store.read, store.status, store.compact, lambda: store.write([row("b" * 16)])):
        with pytest.raises(InputError, match="newer mousterian"):
            use()
    assert sorted(tmp_path.rglob("*")) == before


def test_rows_of_an_older_version_are_read_with_nothing_in_the_newer_columns(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write([row("a" * 16, leep=-1.0)])
    path = tmp_path / "trials" / f"{'a' * 16}.done.parquet"
    older = pq.read_table(path).drop_columns(["ece", "leep"])
    pq.write_table(older.replace_schema_metadata({"mousterian_schema_version": "1"}), path)
    store.write([row("b" * 16, leep=-2.0)])
    store.compact()
    frame = store.read()
    assert list(frame.columns) == [column.name for column in COLUMNS]
    assert frame["leep"].isna().tolist() == [True, False] and frame["top1"].tolist() == [0.5, 0.5]


def test_a_file_of_this_version_that_lacks_a_column_is_not_sound(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write([row("a" * 16)])
    path = tmp_path / "trials" / f"{'a' * 16}.done.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["ece"]), path)
    with pytest.raises(InputError, match="not a readable trial file"):
        store.read()


def test_no_store_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trials here"):
        Store(tmp_path / "nowhere").read()


def test_a_trials_hash_is_that_of_its_identity_as_one_json_value(tiny_grid: Path) -> None:
    # The text is put together by hand for speed; every store in the world hangs on it.
    for trial in grid.read(tiny_grid)[0]:
        cell = json.loads(trial.cell_text)
        assert canonical(cell) == trial.cell_text
        seeds = [trial.subset_seed, trial.training_seed, trial.generator.seed if trial.generator else 0]
        assert trial.key == text_digest(canonical({**cell, "seeds": seeds}))
        assert trial.key != trial.cell_key == text_digest(trial.cell_text)
        generator = trial.generator and [*json.loads(trial.generator.text)[:1], trial.generator.trained_on, 0]
        assert cell == {
            "version": 1,
            "dataset": trial.dataset.describe(),
            "imbalance": trial.imbalance,
            "n_base": trial.n_base,
            "n_real_plus": trial.n_real_plus,
            "n_syn_plus": trial.n_syn_plus,
            "generator": generator,
            "model": trial.model.describe(),
            "strategy": trial.strategy.describe(),
            "recipe": dict(trial.recipe),
            "evaluations": [each.describe() for each in trial.evaluations],
        }


def test_rows_of_older_stores_have_revision_1_and_no_stamps_also_when_compacted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write([row("a" * 16, schema_version=3)])
    path = tmp_path / "trials" / f"{'a' * 16}.done.parquet"
    old = pq.read_table(path).drop_columns(["code_revisions", "content_stamps"])
    pq.write_table(old.replace_schema_metadata({"mousterian_schema_version": "3"}), path)
    store.write([row("b" * 16, schema_version=4, code_revisions="generator 2", content_stamps="dataset 0f")])
    for _ in range(2):
        frame = store.read()
        assert frame["code_revisions"].tolist() == ["1", "generator 2"]
        assert frame["content_stamps"].tolist() == ["", "dataset 0f"]
        assert frame["schema_version"].tolist() == [
            3,
            4,
        ]  # which tells a row that cannot say from one that does
        store.compact()
