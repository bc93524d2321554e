"""Files replaced by others of the same names and sizes are other files: their trials are run anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_folders import write, write_study

from mousterian.__main__ import main
from mousterian.data import loading
from mousterian.errors import InputError
from mousterian.plugins.choice import Choice
from mousterian.quality.inputs import measure_inputs


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOUSTERIAN_DATA", str(tmp_path / "kept"))
    return write_study(tmp_path)


def run(place: Path, capsys: pytest.CaptureFixture[str], *more: str) -> Any:
    with pytest.raises(SystemExit) as left:
        main(["grid", str(place / "grid.toml"), "--store", str(place / "store"), *more])
    printed = capsys.readouterr()
    assert left.value.code == 0, printed.err
    return json.loads(printed.out) if "--json" in more else printed.out


def test_trials_of_replaced_files_are_run_anew_and_a_dry_run_says_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, capsys, "--json")["run"] == 2
    assert "0 new trials, 2 done" in run(place, capsys, "--dry-run")
    write(place / "pool", 4)  # the base-alone trial needs none of it
    said = run(place, capsys, "--dry-run")
    pool = "the files of generator precomputed have changed since"
    assert "1 new trial, 1 done" in said and f"1 of 1 new trial replaces rows of the store: {pool}" in said
    assert run(place, capsys, "--json")["run"] == 1
    write(place / "data" / "val", 5)
    said = run(place, capsys, "--dry-run")
    data = "the files of dataset image_folder have changed since"
    assert "2 new trials, 0 done" in said and f"2 of 2 new trials replace rows of the store: {data}" in said
    assert run(place, capsys, "--dry-run", "--json")["replaced"] == [{"trials": 2, "reason": data}]
    assert run(place, capsys, "--json")["run"] == 2
    write(place / "pool", 3)
    write(place / "data" / "val", 2)
    assert "0 new trials, 2 done" in run(place, capsys, "--dry-run")


def test_images_generated_elsewhere_are_measured_as_what_they_are(place: Path) -> None:
    real = json.dumps({"name": "image_folder", "path": str(place / "data"), "size": 8})
    before = measure_inputs(place / "pool", real, 0, None)
    write(place / "pool", 4)
    after = measure_inputs(place / "pool", real, 0, None)
    assert before.identity.key != after.identity.key
    assert (before.pool.images != after.pool.images).any()


def test_a_dataset_is_not_read_under_the_stamp_of_other_files(place: Path) -> None:
    plugin, options = loading.dataset_named(json.dumps({"name": "image_folder", "path": str(place / "data")}))
    old = Choice.of(plugin, options, place / "kept")
    loading.load_images(old, "test", None)
    write(place / "data" / "val", 5)
    with pytest.raises(InputError, match="its files have changed since"):
        loading.load_images(old, "train", None)
    new = Choice.of(plugin, options, place / "kept")
    images = loading.load_images(new, "test", None).images
    assert (images != loading.load_images(old, "test", None).images).any()  # in memory, as it was


def test_a_dataset_is_not_read_under_the_revision_of_other_code(place: Path) -> None:
    plugin, options = loading.dataset_named(json.dumps({"name": "image_folder", "path": str(place / "data")}))
    now = Choice.of(plugin, options, place / "kept")
    assert (now.revision, now.describe()["revision"]) == (2, 2)
    loading.load_images(Choice.described(now.describe()), "test", None)
    with pytest.raises(
        InputError, match=r"code of dataset 'image_folder' has changed since \(revision 1, now 2"
    ):
        loading.load_images(replace(now, revision=1), "test", None)
