"""Side files: what each trial predicted for each test image, in the order of the test set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import mousterian
from mousterian.data.datasets import digits
from mousterian.errors import InputError
from mousterian.fitting.image_sampling import ImageSampling
from mousterian.store.metrics import TOP1
from mousterian.store.predictions import PredictionFiles, Predictions
from mousterian.store.rows import Store

Run = Callable[..., tuple[int, str, str]]

GRID = """
dataset = "digits"
n_base = [40]
r_real = [1]
model = {name = "small_cnn", width = 4}
recipe = {name = "small", iterations = 4, batch_size = 16}
training_seeds = [0, 1]
evaluation = ["accuracy", "calibration", "knn"]
"""


@pytest.fixture
def store(tmp_path: Path, run: Run) -> Path:
    (tmp_path / "grid.toml").write_text(GRID)
    assert run("grid", "grid.toml", "--store", "store", "--device", "cpu")[0] == 0
    return tmp_path / "store"


def test_accuracies_follow_from_the_side_files_of_every_evaluation(store: Path) -> None:
    rows, files = Store(store).read(), PredictionFiles(store)
    labels = digits.load("test", Path()).labels
    for row in rows.to_dict("records"):
        found = files.read(row["trial"])
        _, predictions = found[row["evaluation"], row["evaluation_options"], row["evaluation_set"]]
        assert (predictions.labels == labels).all()
        assert TOP1.of(predictions) == row["top1"]
        per_class = [(predictions.predicted[labels == label] == label).mean() for label in range(10)]
        assert per_class == pytest.approx(list(row["per_class"]))
    sets = {test_set for trial in rows["trial"].unique() for test_set, _ in files.read(trial).values()}
    assert len(sets) == 1  # so that trials and evaluations can be compared image by image


def test_they_are_small_and_published_with_the_rows(store: Path, run: Run) -> None:
    code, out, _ = run("store", "export", "grid.toml", "--store", store, "--out", "new", "--json")
    assert code == 0 and json.loads(out)["trials"] == 4
    trial = Store("new").read()["trial"].iloc[0]
    assert PredictionFiles("new").read(trial).keys() == PredictionFiles(store).read(trial).keys()
    assert len(list(Path("new").glob("predictions/test-sets/*.parquet"))) == 1


def test_ten_thousand_images_take_about_ten_kilobytes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 10_000)
    predicted = np.where(random.random(10_000) < 0.9, labels, random.integers(0, 10, 10_000))
    files = PredictionFiles(tmp_path)
    row = {"evaluation": "accuracy", "evaluation_options": "{}", "evaluation_set": "x/test", "test_set": "0f"}
    files.write("trial", [{**row, "predictions": Predictions(predicted, labels)}])
    assert (tmp_path / "predictions" / "trial.parquet").stat().st_size < 12_000
    [(_, found)] = files.read("trial").values()
    assert (found.predicted == predicted).all() and (found.labels == labels).all()


def test_images_of_one_patient_count_as_one(tmp_path: Path, run: Run) -> None:
    train, test = (digits.load(split, Path()) for split in ("train", "test"))
    repeated = np.repeat(
        np.arange(100), 3
    )  # three equal images of each patient: the noise of 100, not of 300
    arrays = {"train_images": train.images, "train_labels": train.labels}
    arrays |= {"test_images": test.images[repeated], "test_labels": test.labels[repeated]}
    freedom = {}
    for name, groups in (
        ("patients", {"test_groups": np.array([f"patient {i}" for i in repeated])}),
        ("images", {}),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays, **groups)
        dataset = f'{{name = "npz", path = "{tmp_path / name}.npz"}}'
        (tmp_path / "grid.toml").write_text(
            GRID.replace('"digits"', dataset).replace(', "calibration", "knn"', "")
        )
        assert run("grid", "grid.toml", "--store", name, "--device", "cpu")[0] == 0
        correct = PredictionFiles(tmp_path / name).correct(Store(tmp_path / name).read())
        assert correct is not None
        found = ImageSampling.of(correct.known, correct.correct, correct.groups)
        once = ImageSampling.of(correct.known, correct.correct[:, ::3])
        covariances = [each.root @ each.root.T for each in (found, once)]
        assert np.allclose(*covariances) == (name == "patients")
        freedom[name] = found.freedom
    assert freedom == {"patients": 99, "images": 299}
    [file] = (tmp_path / "patients").glob("predictions/test-sets/*.parquet")
    assert pq.read_table(file)["group"].to_pylist()[:4] == [0, 0, 0, 1]  # no names of patients


def test_fits_of_a_store_use_them(store: Path, run: Run) -> None:
    chosen = ("--surface", "loglinear", "--bootstrap", 50, "--where", "evaluation=accuracy")
    code, out, _ = run("fit", "--store", store, *chosen, "--out", "fit.json")
    assert code == 0
    assert "of the variance of differences between mixtures" in out
    made = mousterian.Fit.load("fit.json")
    assert 0 < made.test_set_share <= 1
    without = mousterian.fit(made.data[["n_base", "n_real_plus", "n_syn_plus", "accuracy", "total"]])
    assert np.isnan(without.test_set_share)
    assert without.to_json()["test_set_share"] is None


def test_damaged_files_are_named_and_lose_nothing_else(store: Path, run: Run) -> None:
    assert json.loads(run("store", "verify", "--store", store, "--json")[1]) == []
    file = next((store / "predictions").glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-50])
    code, out, _ = run("store", "verify", "--store", store)
    assert code != 0 and file.name in out
    assert run("fit", "--store", store, "--out", "fits")[0] in (0, 2)  # too few rows here, but no traceback
    assert len(Store(store).read()) == 12


def test_a_matrix_says_which_images_each_row_has_right(store: Path) -> None:
    rows, files = Store(store).read(), PredictionFiles(store)
    (store / "predictions" / f"{rows['trial'].iloc[0]}.parquet").unlink()
    found = files.correct(rows)
    assert found is not None
    assert (found.known == (rows["trial"] != rows["trial"].iloc[0])).all()
    assert found.correct.mean(axis=1) == pytest.approx(rows["top1"][found.known])
    assert files.correct(rows[~found.known]) is None
    assert PredictionFiles(store / "elsewhere").correct(rows) is None


def test_a_file_that_no_row_needs_is_not_opened(store: Path) -> None:
    rows = Store(store).read()
    first = rows["trial"].iloc[0]
    (store / "predictions" / f"{first}.parquet").write_bytes(b"damaged")
    assert PredictionFiles(store).correct(rows[rows["trial"] != first]) is not None
    with pytest.raises(InputError, match="file of predictions"):
        PredictionFiles(store).correct(rows)


def test_trials_of_earlier_code_have_none(tmp_path: Path) -> None:
    assert PredictionFiles(tmp_path).read("a trial") == {}
