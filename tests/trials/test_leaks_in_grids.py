"""Test images in a training set or pool: refused before they are trained on, or said in every answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from perturbations import CHANGES

from mousterian.cli.commands import EXIT_FAILED
from mousterian.data.datasets import digits
from mousterian.data.leakage import stored
from mousterian.plugins.choice import Choice
from mousterian.store.rows import Store
from mousterian.synthesis.pool_leaks import file_of, pool_leaks
from mousterian.synthesis.pools import Pool
from mousterian.trials import grid

Run = Callable[..., tuple[int, str, str]]

GRID = """
dataset = {{name = "npz", path = "{place}/{dataset}.npz"}}
n_base = [50, 100]
r_real = [1]
r_syn = [1, 2]
model = {{name = "small_cnn", width = 4}}
recipe = {{name = "small", iterations = 4, batch_size = 16}}
training_seeds = [0, 1]
{more}
[generator]
name = "precomputed"
path = "{place}/{pool}.npz"
"""
FOUND = "more test images than unseen real images have copies in it"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in disjoint parts: a set, a set with 100 of its 400 test images in train, and pools."""
    folder = tmp_path_factory.mktemp("leaks")
    images, labels = (
        np.concatenate([getattr(digits.load(split, folder), part) for split in ("train", "test")])
        for part in ("images", "labels")
    )
    order = np.random.default_rng(0).permutation(len(labels))
    train, test, spare = order[:500], order[500:900], order[900:1700]
    held = {"test_images": images[test], "test_labels": labels[test]}
    np.savez(folder / "set.npz", train_images=images[train], train_labels=labels[train], **held)
    leaky = np.concatenate([test[:100], train[100:]])
    np.savez(folder / "leaky.npz", train_images=images[leaky], train_labels=labels[leaky], **held)
    half = np.concatenate([test, spare[:400]])
    for name, part, change in (
        *((f"test-{change}", test, change) for change in CHANGES),
        *((f"half-{change}", half, change) for change in CHANGES),
        ("clean", spare, "exact"),
        ("training", train, "exact"),
    ):
        np.savez(folder / f"{name}.npz", images=CHANGES[change](images[part]), labels=labels[part])
    return folder


def written(place: Path, folder: Path, pool: str, *, dataset: str = "set", more: str = "") -> Path:
    file = folder / f"{dataset}-{pool}.toml"
    file.write_text(GRID.format(place=place, dataset=dataset, pool=pool, more=more))
    return file


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOUSTERIAN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_pool_of_test_images_stops_its_trials_and_is_then_refused_at_once(
    place: Path, tmp_path: Path, data_dir: Path, run: Run
) -> None:
    file = written(place, tmp_path, "test-noisy")
    code, _, err = run("grid", file, "--store", "store", "--json")
    rows = Store("store").read()
    assert code == EXIT_FAILED
    assert set(rows.loc[rows["status"] == "failed", "n_syn_plus"]) == {50, 100, 200}
    assert (rows.loc[rows["n_syn_plus"] == 0, "status"] == "done").all()
    assert rows["error"].dropna().str.contains(FOUND).sum() == 8
    code, _, err = run("grid", file, "--store", "store", "--retry-failed", "--dry-run")
    assert code == 2 and FOUND in err and "allow_test_copies = true" in err


def test_where_test_images_are_allowed_every_answer_says_so(
    place: Path, tmp_path: Path, data_dir: Path, run: Run
) -> None:
    file = written(place, tmp_path, "test-exact", more="allow_test_copies = true")
    assert run("grid", file, "--store", "store")[0] == 0
    plan = json.loads(run("grid", file, "--store", "store", "--dry-run", "--json")[1])
    assert FOUND in plan["leaks"][1]["reason"]
    assert "The pool holds test images" in run("grid", file, "--store", "store", "--dry-run")[1]
    said = f"allow_test_copies = true let the pool with test images pass: {FOUND}"
    assert f"leak: {said}" in " ".join(run("fit", "--store", "store", "--out", "fit.json")[1].split())
    sizes = ("--n-base", 50, "--n-real-plus", 50)
    for command in (
        ("equivalence", "fit.json", *sizes),
        ("predict", "fit.json", *sizes),
        ("rate", "fit.json", *sizes),
        ("plan", "fit.json", "--n-base", 50, "--target-accuracy", 0.5, "--real-cost", 1, "--syn-cost", 1),
    ):
        assert said in " ".join(run(*command)[1].split())
        assert said in json.loads(run(*command, "--json")[1])["leaks"][-1]
    assert said in " ".join("".join(run("ratio", "fit.json", "--json")[1:]).split())
    assert run("report", "fit.json", "--out", "page.html")[0] == 0
    assert said in Path("page.html").read_text()


def test_a_clean_pool_gets_no_line(place: Path, tmp_path: Path, data_dir: Path, run: Run) -> None:
    file = written(place, tmp_path, "clean")
    assert run("grid", file, "--store", "store")[0] == 0
    assert run("fit", "--store", "store", "--out", "fit.json")[0] == 0
    found = json.loads(run("predict", "fit.json", "--n-base", 50, "--json")[1])["leaks"]
    assert len(found) == 1 and "test images have a copy in the training set: 0 identical" in found[0]


def test_real_training_images_in_a_pool_are_named_and_no_ground_to_refuse(
    place: Path, tmp_path: Path, data_dir: Path, run: Run
) -> None:
    assert run("grid", written(place, tmp_path, "training"), "--store", "store")[0] == 0
    assert run("fit", "--store", "store", "--out", "fit.json")[0] == 0
    found = json.loads(run("predict", "fit.json", "--n-base", 50, "--json")[1])["leaks"]
    assert "Copies of real training images are in the pool." in found


def test_a_set_with_test_images_in_train_is_refused_before_anything_runs(
    place: Path, tmp_path: Path, data_dir: Path, run: Run
) -> None:
    code, _, err = run("grid", written(place, tmp_path, "clean", dataset="leaky"), "--store", "store")
    assert code == 2 and "25 % of the test images are in the training set" in err
    assert not Path("store").exists()
    code, out, _ = run("data", "npz", "--option", f"path={place / 'leaky.npz'}")
    assert code == EXIT_FAILED and "The set is refused: 25 % of the test images" in " ".join(out.split())
    allowed = written(place, tmp_path, "clean", dataset="leaky", more="allow_test_copies = true")
    assert run("grid", allowed, "--store", "store", "--dry-run")[0] == 0


def test_the_key_is_no_part_of_a_trials_identity(place: Path, tmp_path: Path, data_dir: Path) -> None:
    plain, allowed = (
        {trial.key for trial in grid.read(written(place, tmp_path, "clean", more=more))[0]}
        for more in ("", "allow_test_copies = true")
    )
    assert plain == allowed


@pytest.mark.parametrize("half", ["test", "half"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_kind_of_copy_is_caught_in_a_stored_pool(
    place: Path, tmp_path: Path, data_dir: Path, change: str, half: str
) -> None:
    pool = made(place, tmp_path, f"{half}-{change}", 300)
    found = pool_leaks(pool, 300, None)
    assert found.reason
    assert found == stored.read(file_of(pool.folder))


def made(place: Path, folder: Path, name: str, count: int) -> Pool:
    """Generate the first images of a pool."""
    trial = next(each for each in grid.read(written(place, folder, name))[0] if each.n_syn_plus)
    identity = trial.pool()
    assert identity is not None
    pool = Pool(folder / "pools", identity, tuple(map(str, range(10))))
    pool.ensure(count, (8, 8, 1), lambda: pytest.fail("nothing is trained"), "cpu")
    return pool


def test_a_check_is_made_once_and_again_where_the_pool_has_grown(
    place: Path, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = made(place, tmp_path, "clean", 100)
    first = pool_leaks(pool, 100, None)
    with monkeypatch.context() as patch:
        patch.setattr("mousterian.data.leakage.checks.check_pool", lambda *_, **__: pytest.fail("once"))
        assert pool_leaks(pool, 100, None) == pool_leaks(pool, 50, None) == first
    pool.ensure(200, (8, 8, 1), lambda: pytest.fail("nothing is trained"), "cpu")
    assert pool_leaks(pool, 200, None).summary["pool_images"] == 200
    file_of(pool.folder).write_text("{")
    assert pool_leaks(pool, 200, None).summary["pool_images"] == 200


def test_where_nothing_can_be_kept_the_process_remembers(
    place: Path, data_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir.mkdir()
    (data_dir / stored.FOLDER).write_text("a file in its place")
    chosen = Choice("npz", {"path": str(place / "set.npz")}, "a stamp", revision=2)
    monkeypatch.setattr("mousterian.plugins.spec.Plugin.stamp", lambda *_: "a stamp")
    first = stored.set_leaks(chosen, None)
    assert "is not kept" in caplog.text
    monkeypatch.setattr("mousterian.data.leakage.checks.check_set", lambda *_: pytest.fail("once"))
    assert stored.set_leaks(chosen, None) == first


def test_rows_of_earlier_code_are_said_to_be_unchecked() -> None:
    from mousterian.store.leaks import sentences

    rows = pd.DataFrame({"n_syn_plus": [0, 10], "pool": ["", "p"], "leaks": [None, None]})
    assert sentences(rows) == ("Leaks were not checked in 2 of 2 trials: earlier code ran them.",)
    assert sentences(rows.drop(columns="leaks")) == ()
