"""Why trials are new beside rows that are the same but for code or files; a store of many rows."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_GRID

from mousterian.plugins.choice import Choice
from mousterian.store.rows import Store
from mousterian.trials import grid, identity, rows
from mousterian.trials.identity import Trial
from mousterian.trials.replaced import Replaced, replaced
from mousterian.trials.rows import identity_columns


def stored(folder: Path, trials: list[Trial], finished: str, **changes: Any) -> Store:
    """A store with a finished row of each evaluation of each trial."""
    store = Store(folder)
    common = {"status": "done", "finished_at": finished} | changes
    store.write_many([{**identity_columns(t, e), **common} for t in trials for e in t.evaluations])
    return store


@pytest.fixture
def trials(tiny_grid: Path) -> list[Trial]:
    tiny_grid.write_text(
        TINY_GRID.replace('dataset = "digits"', 'dataset = "digits"\nevaluation = ["accuracy", "knn"]')
    )
    return grid.read(tiny_grid)[0]


def with_generator(trials: list[Trial], **changes: Any) -> list[Trial]:
    return [replace(t, generator=t.generator and replace(t.generator, **changes)) for t in trials]


def test_another_revision_of_a_generator_replaces_its_rows_alone(trials: list[Trial], tmp_path: Path) -> None:
    store = stored(tmp_path / "store", trials, "2026-01-01")
    later = [each for each in with_generator(trials, revision=2) if each.generator]
    assert (len(trials), len(later)) == (12, 4)
    assert {t.key for t in later}.isdisjoint(t.key for t in trials)
    expected = "the code of generator edm has changed (revision 1, now 2)"
    assert replaced(later, store) == [Replaced(4, expected)]


def test_of_several_old_trials_the_last_finished_is_named_and_reasons_are_joined(
    trials: list[Trial], tmp_path: Path
) -> None:
    stored(tmp_path / "store", with_generator(trials, revision=2, stamp="a"), "2026-01-01")
    store = stored(tmp_path / "store", with_generator(trials, revision=3, stamp="a"), "2026-01-02")
    later = [each for each in with_generator(trials, revision=4, stamp="b") if each.generator]
    code, files = "the code of generator edm has changed (revision 3, now 4)", "the files of generator edm"
    assert replaced(later, store) == [Replaced(4, f"{code} and {files} have changed since")]


def test_another_loop_replaces_every_row(
    trials: list[Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored(tmp_path / "store", trials, "2026-01-01")
    for module in (identity, rows):
        monkeypatch.setattr(module, "TRIAL_VERSION", 2)
    later = [replace(each) for each in trials]  # which have made no key yet
    assert {rows.identity_columns(each)["code_revisions"] for each in later} == {"loop 2"}
    expected = "the code of the training loop has changed (revision 1, now 2)"
    assert replaced(later, store) == [Replaced(12, expected)]


def test_other_evaluations_and_options_replace_nothing(trials: list[Trial], tmp_path: Path) -> None:
    store = stored(tmp_path / "store", trials, "2026-01-01")
    assert replaced([replace(each, evaluations=each.evaluations[:1]) for each in trials], store) == []
    assert replaced([replace(each, model=Choice("small_cnn", {"width": 8})) for each in trials], store) == []
    assert replaced(trials, Store(tmp_path / "none")) == []


def test_rows_of_older_stores_do_not_say_which_has_changed(trials: list[Trial], tmp_path: Path) -> None:
    store = stored(
        tmp_path / "store", trials, "2026", schema_version=3, code_revisions=None, content_stamps=None
    )
    later = [each for each in with_generator(trials, stamp="b") if each.generator]
    assert replaced(later, store) == [
        Replaced(4, "the code or the files of generator edm have changed since")
    ]


def test_a_store_of_many_rows_is_compared_in_seconds(trials: list[Trial], tmp_path: Path) -> None:
    frame = stored(tmp_path / "one", trials, "2026-01-01").read()
    many = frame.loc[frame.index.repeat(8000)].reset_index(drop=True)
    number = many.groupby(["trial", "evaluation"]).cumcount()
    store = Store(tmp_path / "many")
    store.write_frame(many.assign(subset_seed=number, trial=many["trial"] + number.astype(str)))
    later = [
        replace(t, subset_seed=n)
        for n in range(50)
        for t in with_generator(trials, revision=2)
        if t.generator
    ]
    assert len(store.read()) == 192_000
    started = time.process_time()
    (found,) = replaced(later, store)
    assert found.trials == len(later) == 200
    assert time.process_time() - started < 10
