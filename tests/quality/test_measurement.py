"""`mousterian quality`: which pools it measures, against which real images, and what it stores."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny

from mousterian.__main__ import main
from mousterian.cli.commands.quality import quality
from mousterian.data import subsets
from mousterian.data.datasets import digits
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.quality.inputs import measure_inputs
from mousterian.quality.kinds import MeasureContext
from mousterian.quality.measures import memorisation
from mousterian.seeds import canonical
from mousterian.store import quality as quality_files
from mousterian.store.quality import COLUMNS, QualityTable, wide
from mousterian.synthesis.filter_scores import FilterSpec
from mousterian.synthesis.filtering import Filtered, FilterInputs
from mousterian.synthesis.pool_identity import PoolIdentity
from mousterian.synthesis.pools import Pool
from mousterian.synthesis.stored_pools import pool_folders
from mousterian.training.recipes import recipe

QUICK = {"features": "pixels", "measure": ("fid",), "device": "cpu"}


def identity(**changes: Any) -> PoolIdentity:
    options = registry.find("generators", "edm").resolve({"channels": 8, "steps": 2, "sampling_steps": 2})
    dataset = {"name": "digits", "options": {}}
    return replace(PoolIdentity("edm", options, "", 0, "base", dataset, 0, 1.0, 30, 0), **changes)


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return digits.load("train", Path())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, train: ImageSet) -> Path:
    """A store with two pools: internal, and trained upstream."""
    folder = tmp_path_factory.mktemp("quality")
    for each in (identity(), identity(trained_on="upstream", n_base=0, n_upstream=40)):
        pool = Pool(folder / "pools", each, train.class_names)
        pool.ensure(260, train.shape, lambda: train.take(np.arange(30)), "cpu")
    return folder


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    """A store of the same pools without measurements."""
    (tmp_path / "pools").symlink_to(store / "pools")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["quality", *arguments])
    out, err = capsys.readouterr()
    return int(str(ended.value.code)), out, err


def test_all_pools_are_measured_and_stored_beside_the_trials(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "--store", str(copy), "--features", "pixels", "--measure", "fid", "--json")
    assert code == 0
    printed = json.loads(out)
    assert printed["failed"] == [] and len(printed["measured"]) == 4
    frame = QualityTable(copy).read()
    assert sorted(frame["pool"].unique()) == sorted(p.name for p in (copy / "pools").iterdir())
    assert set(frame["quantity"]) == {"fid", "fid_of_test"} and set(frame["features"]) == {"pixels"}
    assert set(frame["images"]) == {260} and set(frame["n_base"]) == {30, 0}
    assert list(frame.columns) == [name for name, _, _ in COLUMNS]


def test_stored_measurements_are_not_repeated(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = {**QUICK, "store": copy}
    assert quality(**request) == 0
    before = {path: path.stat().st_mtime_ns for path in (copy / "quality").glob("*.parquet")}
    monkeypatch.setattr(
        "mousterian.quality.measures.fid.measure", lambda *a, **k: pytest.fail("measured again")
    )
    assert quality(**request) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (copy / "quality").glob("*.parquet")}
    monkeypatch.setattr("mousterian.quality.measures.fid.measure", lambda *a, **k: {"fid": 1.5})
    assert quality(**request, again=True) == 0
    assert set(QualityTable(copy).read()["value"]) == {1.5}


def test_fewer_images_another_space_or_seed_are_separate_measurements(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mousterian.training.feature_networks.recipe", lambda name: recipe("small", {"iterations": 2})
    )
    monkeypatch.setenv("MOUSTERIAN_DATA", str(copy))
    for change in ({}, {"images": 200}, {"seed": 1}, {"features": "classifier:digits"}):
        quality(identity().key[:6], store=copy, **{**QUICK, **change})
    frame = QualityTable(copy).read()
    assert frame["measurement"].nunique() == 4
    assert sorted(frame["images"].unique()) == [200, 260]


def test_the_generators_training_images_are_found(store: Path, train: ImageSet) -> None:
    base = subsets.ordering(train.labels, 10, 0)[:30]
    internal = measure_inputs(store / "pools" / identity().key, "", 0, None)
    assert internal.seen is not None and np.array_equal(internal.seen.images, train.images[base])
    upstream = identity(trained_on="upstream", n_base=0, n_upstream=40)
    external = measure_inputs(store / "pools" / upstream.key, "", 0, None)
    assert external.seen is not None and len(external.seen) == 40
    assert internal.space == "classifier:digits"


def test_an_internal_pool_of_copies_is_detected_from_its_own_base(copy: Path) -> None:
    own = measure_inputs(copy / "pools" / identity().key, "", 0, None)
    assert own.seen is not None
    test = digits.load("test", Path())
    copies = memorisation.measure(own.seen, own.real, test, MeasureContext(seen=own.seen))
    unseen = own.real.take(np.arange(900, 930))
    others = memorisation.measure(own.seen, own.real, test, MeasureContext(seen=unseen))
    assert copies["copies"] == 1 and others["copies"] < 0.2


def test_images_generated_elsewhere_have_the_identity_that_a_grid_gives_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], train: ImageSet
) -> None:
    file = tmp_path / "theirs.npz"
    np.savez(file, images=train.images[:400], labels=train.labels[:400])
    arguments = ("--store", str(tmp_path), "--features", "pixels", "--measure", "fid")
    code, _, err = run(capsys, str(file), *arguments)
    assert code == 2 and "--real DATASET" in err
    code, out, _ = run(capsys, str(file), *arguments, "--real", "digits", "--json")
    assert code == 0
    rows = json.loads(out)["measured"]
    assert {row["generator"] for row in rows} == {"precomputed"}
    plugin = registry.find("generators", "precomputed")
    options = plugin.resolve({"path": str(file)})
    origin = {"generator": plugin.name, "options": options, "stamp": plugin.stamp(Path(), options)}
    expected = identity(**origin, trained_on="elsewhere", n_base=0, revision=2)
    assert {row["pool"] for row in rows} == {expected.key}


def test_a_failing_measure_does_not_affect_the_others(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = identity().key
    arguments = (key, "--store", str(copy), "--features", "pixels", "--measure", "fid", "--measure")
    code, out, _ = run(capsys, *arguments, "inception_score", "--json")
    found = json.loads(out)
    assert code == 2
    assert {row["measure"] for row in found["measured"]} == {"fid"}
    [failure] = found["failed"]
    assert failure["measure"] == "inception_score" and "classes" in failure["error"]
    _, out, _ = run(capsys, *arguments, "inception_score")
    assert "not measured: inception_score" in out and "fid_of_test" in out


def test_clip_score_of_a_local_model(copy: Path, tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    folder = tiny.clip(tmp_path / "clip")
    options = ("clip_score.weights=", f"clip_score.model=local-dir:{folder}")
    request = {**QUICK, "store": copy, "measure": ("clip_score",), "option": options}
    assert quality(identity().key, **request) == 0
    values = QualityTable(copy).read().set_index("quantity")["value"]
    assert 0 <= values["clip_score"] <= 100 and 0 <= values["clip_right"] <= 1
    assert values["clip_score"] != values["clip_score_of_test"]


def test_an_unfinished_pool_does_not_affect_the_others(store: Path, tmp_path: Path, train: ImageSet) -> None:
    (tmp_path / "pools").mkdir()
    for folder in (store / "pools").iterdir():
        (tmp_path / "pools" / folder.name).symlink_to(folder)
    making = identity(seed=1)
    empty = tmp_path / "pools" / making.key
    empty.mkdir()
    (empty / "pool.json").write_text(canonical(making.describe()))
    assert quality(**QUICK, store=tmp_path) == 2  # fid was requested
    assert QualityTable(tmp_path).read()["pool"].nunique() == 2
    assert making.key not in set(QualityTable(tmp_path).read()["pool"])
    with pytest.raises(InputError, match="no images yet"):
        quality(making.key, **QUICK, store=tmp_path)


def test_filtered_images_of_a_pool_are_a_separate_measurement(
    copy: Path, tmp_path: Path, train: ImageSet, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = Pool(tmp_path / "own" / "pools", identity(), train.class_names)
    shutil.copytree(copy / "pools" / identity().key, pool.folder)
    spec = FilterSpec("real_features", {"features": "pixels", "margin": 0.0, "drop": 0.2}, "", {"n_base": 30})
    inputs = FilterInputs(lambda: train.take(np.arange(100)), lambda: train, "cpu", None)
    Filtered(pool, [spec]).ensure(100, lambda images: None, inputs)
    arguments = (identity().key, "--store", str(tmp_path / "own"), "--features", "pixels", "--measure", "kid")
    code, out, _ = run(capsys, *arguments, "--json")
    whole = json.loads(out)["measured"][0]
    code, out, _ = run(capsys, *arguments, "--filter", "real_features", "--json")
    assert code == 0
    part = json.loads(out)["measured"][0]
    assert json.loads(part["filters"])[0]["name"] == "real_features" and whole["filters"] == ""
    assert part["images"] < whole["images"] and part["measurement"] != whole["measurement"]
    seen = measure_inputs(pool.folder, "", 0, None, [spec.key[:6]])
    table = pq.read_table(next(pool.folder.glob("filters/*.parquet")))
    kept = pool.read(260).take(np.flatnonzero(table["keep"]))
    for label in range(10):
        mine = seen.pool.images[seen.pool.labels == label]
        assert np.array_equal(mine, kept.images[kept.labels == label][: len(mine)])
    assert np.array_equal(seen.pool.labels, np.arange(len(seen.pool)) % 10)
    code, _, err = run(capsys, *arguments, "--filter", "duplicate")
    assert code == 2 and "unknown filter of this pool 'duplicate'" in err and "real_features" in err
    code, _, err = run(capsys, *arguments, "--filter", "real_features", "--images", "259")
    assert code == 2 and "the filters keep" in err


def test_rows_from_before_there_were_filters_are_read(copy: Path) -> None:
    request = {**QUICK, "store": copy}
    quality(identity().key, **request)
    [file] = (copy / "quality").glob("*.parquet")
    pq.write_table(pq.read_table(file).drop_columns("filters"), file)
    assert set(QualityTable(copy).read()["filters"]) == {""}


def test_another_number_of_classes_is_reported(
    copy: Path, tmp_path: Path, train: ImageSet, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = {"train_images": train.images[:40], "train_labels": np.arange(40) % 4}
    np.savez(tmp_path / "four.npz", **arrays, test_images=train.images[:8], test_labels=np.arange(8) % 4)
    real = f'{{name = "npz", path = "{tmp_path / "four.npz"}"}}'
    code, _, err = run(capsys, identity().key, "--store", str(copy), "--real", real, "--measure", "kid")
    assert code == 2 and "its images have 10 classes, those of npz 4" in err and "its own is digits" in err


def test_points_of_the_plot_are_saved(copy: Path) -> None:
    quality(identity().key, store=copy, **{**QUICK, "measure": ("subspace",)})
    table = QualityTable(copy)
    [measurement] = table.read()["measurement"].unique()
    points = pq.read_table(table.points_file(measurement)).to_pandas()
    assert list(points.columns) == ["x", "y", "synthetic", "label"]
    assert points["synthetic"].sum() == 260 and len(points) == 260 + 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--measure", "fidd"], "did you mean 'fid'"),
        (["nopool"], "unknown pool 'nopool'"),
        (["--option", "fid"], "MEASURE.KEY=VALUE"),
        (["--option", "fid.feature=pixels"], "did you mean 'features'"),
        (["--measure", "kid", "--option", "fid.features=pixels"], "which --measure does not name"),
        (["--measure", "clip_score"], "needs the option 'weights'"),
        (["--images", "-1"], "--images must be 0 or more"),
        ([identity().key, "--images", "100000"], "has only 260 images"),
        (["--real", "digit"], "did you mean 'digits'"),
        (["--features", "pixel"], "did you mean 'pixels'"),
        (["--features", "inception:nowhere.pth"], "--features classifier:DATASET"),
    ],
)
def test_invalid_input_is_reported(
    arguments: list[str], message: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *arguments, "--store", str(copy))
    assert code == 2 and message in err


def test_no_pools_an_ambiguous_name_and_a_damaged_description(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pools here"):
        pool_folders((), tmp_path)
    with pytest.raises(InputError, match="begins the hash of 2 pools"):
        pool_folders(("",), store)
    (tmp_path / "pool.json").write_text("{}")
    with pytest.raises(InputError, match="cannot read this pool's identity"):
        measure_inputs(tmp_path, "", 0, None)


def test_damaged_and_newer_files_are_reported_and_no_measurements_are_no_rows(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = QualityTable(copy)
    assert table.read().empty and wide(table.read()).empty
    request = {**QUICK, "store": copy}
    quality(identity().key, **request)
    [file] = table.folder.glob("*.parquet")
    content = file.read_bytes()
    file.write_bytes(b"half")
    assert [path for path, _ in table.verify()] == [file]
    with pytest.raises(InputError, match="not a readable file of measurements"):
        table.read()
    quality(identity().key, **request)  # measured again
    assert len(table.read()) == 2
    file.write_bytes(content)
    monkeypatch.setattr(quality_files, "QUALITY_VERSION", 0)
    with pytest.raises(InputError, match="newer mousterian"):
        table.read()
