"""What is left out of data, or converted: shown by `data`, `grid --dry-run` and `quality`, kept in rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny_folders import write, write_study

from mousterian.data.image_set import TrialImages
from mousterian.training.evaluations import _other_datasets

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOUSTERIAN_DATA", str(tmp_path / "kept"))
    write_study(tmp_path, pool_channels=1)
    (tmp_path / "data" / "train" / "cat" / ".hidden").touch()
    (tmp_path / "pool" / "cat" / "notes.txt").touch()
    return tmp_path


def test_notes_are_shown_before_a_grid_runs_and_kept_in_its_rows(place: Path, run: Run) -> None:
    of_data = f"{place}/data/train: 1 hidden file or folder left out: cat/.hidden"
    of_pool = [
        f"{place}/pool: 1 file that is no image by its name left out: cat/notes.txt",
        f"{place}/pool: the images are grey and the dataset has colour: they get three equal channels",
    ]
    arguments = ("grid", place / "grid.toml", "--store", place / "store")

    def planned(*more: str) -> Any:
        code, out, err = run(*arguments, "--dry-run", *more)
        assert code == 0, err
        return json.loads(out)["notes"] if more else out

    assert planned("--json") == [of_data]  # the pool does not exist yet
    assert f"note: {of_data}\n" in planned()
    assert run("generate", place / "grid.toml", "--store", place / "store")[0] == 0
    assert planned("--json") == [of_data, *of_pool]
    assert run(*arguments)[0] == 0
    rows = pd.concat([pd.read_parquet(path) for path in (place / "store" / "trials").glob("*.parquet")])
    notes = rows.set_index("n_syn_plus")["data_notes"]
    assert notes[0].splitlines() == [of_data]
    assert notes[4].splitlines() == [of_data, *of_pool]
    assert planned("--json") == of_pool  # nothing to run: the dataset need not be there any more


def test_a_datasets_notes_are_shown_once(place: Path, run: Run) -> None:
    (place / "data" / "valid").mkdir()
    _, out, _ = run("data", "image_folder", "--option", f"path={place / 'data'}", "--json")
    apart = f"{place}/data: its validation split (valid) is kept apart, not used"
    hidden = f"{place}/data/train: 1 hidden file or folder left out: cat/.hidden"
    assert json.loads(out)["notes"] == [apart, hidden]
    _, out, _ = run("data", "image_folder", "--option", f"path={place / 'data'}")
    assert out.count(f"note: {apart}\n") == out.count(f"note: {hidden}\n") == 1


def test_a_coloured_pool_of_grey_data_is_measured_and_noted(place: Path, run: Run) -> None:
    write(place / "grey" / "train", 1, channels=1)
    write(place / "grey" / "val", 2, channels=1)
    real = json.dumps({"name": "image_folder", "path": str(place / "grey"), "size": 8})
    pool = write(place / "coloured", 3)
    arguments = ("quality", pool, "--real", real, "--features", "pixels", "--measure", "memorisation")
    code, out, err = run(*arguments, "--store", place / "store")
    assert code == 0, err
    note = f"{pool}: the images have colour and the dataset is grey: they are made grey (luma)"
    assert f"note: {note}\n" in out
    _, out, _ = run(*arguments, "--store", place / "store", "--json")  # from the store
    assert json.loads(out)["notes"] == [note]


def test_a_dataset_of_an_evaluation_is_read_again_once_its_files_are_replaced(place: Path) -> None:
    nothing = np.zeros(0, dtype=np.int64)
    dataset = {"name": "image_folder", "path": str(place / "data"), "size": 8}
    images = _other_datasets.ImageSet(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1), ("cat", "dog"))
    trial = TrialImages(images, images, nothing, None, 0, 0, place / "kept")
    before = _other_datasets.other_dataset(dataset, "test", trial)
    assert _other_datasets.other_dataset(dataset, "test", trial) is before
    write(place / "data" / "val", 5)
    after = _other_datasets.other_dataset(dataset, "test", trial)
    assert (after.images != before.images).any()
