"""A trial is restored from its row alone and reproduces it; a row that cannot be restored is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from mousterian.__main__ import main
from mousterian.errors import InputError
from mousterian.store.rows import Store
from mousterian.store.schema import arrow_schema
from mousterian.trials import grid
from mousterian.trials.rerun import rows_of, run_again, trial_of
from mousterian.trials.settings import Settings

GRID = """
dataset = "digits"
imbalance = [1, 3]
n_base = [20]
r_syn = [1]
model = {name = "small_cnn", width = 4}
strategy = ["joint", {name = "balanced", share = 0.4}]
recipe = {name = "small", iterations = 3, batch_size = 16}
evaluation = ["accuracy", {name = "calibration", bins = 5}]
training_seeds = [1]
subset_seeds = [2]
generator_seeds = [3]

[[generator]]
name = "edm"
trained_on = "upstream"
n_upstream = 60
channels = 8
steps = 2
sampling_steps = 2
filter = "duplicates"
"""


def exit_code(*given: object) -> object:
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in given])
    return ended.value.code


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rerun")
    (folder / "grid.toml").write_text(GRID)
    assert exit_code("grid", folder / "grid.toml", "--store", folder / "store", "--workers", 1) == 0
    return folder / "store"


def test_every_trial_is_restored_from_its_row(store: Path) -> None:
    trials, _ = grid.read(store.parent / "grid.toml")
    frame = Store(store).read()
    for trial in trials:
        made = trial_of(frame[frame["trial"] == trial.key])
        assert made == trial
        assert made.key == trial.key


def test_a_trial_run_again_is_the_same_bit_for_bit(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = Store(store).read()
    trial = frame.loc[frame["n_syn_plus"] > 0, "trial"].iloc[0]
    before = sorted(path for path in store.rglob("*") if path.is_file())
    # In a store without pools: the generator is trained and sampled again, too.
    assert exit_code("rerun", trial[:10], "--store", store, "--pools", tmp_path / "pools", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["same"] and printed["trial"] == trial
    assert {"top1", "loss", "ece", "per_class", "images_seen"} <= {
        each["column"] for each in printed["values"]
    }
    assert sorted(path for path in store.rglob("*") if path.is_file()) == before


def test_differences_are_shown(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = Store(store).read()
    rows = rows[rows["trial"] == rows.loc[rows["n_syn_plus"] == 0, "trial"].iloc[0]].copy()
    rows["correct"] += 1
    Store(tmp_path).write(pa.Table.from_pandas(rows, schema=arrow_schema(), preserve_index=False).to_pylist())
    assert exit_code("rerun", rows["trial"].iloc[0], "--store", tmp_path) == 3
    shown = capsys.readouterr().out
    assert "not the same" in shown
    (line,) = [line for line in shown.splitlines() if "NO" in line and "accuracy" in line]
    assert "correct" in line


def test_a_row_that_cannot_be_restored_is_refused(store: Path) -> None:
    frame = Store(store).read()
    rows = frame[frame["trial"] == frame["trial"].iloc[0]].assign(training_seed=9)
    with pytest.raises(InputError, match="restored from its row"):
        trial_of(rows)
    with pytest.raises(InputError, match="no trial 'nothing'"):
        rows_of(store, "nothing")
    with pytest.raises(InputError, match="trials begin with ''"):
        rows_of(store, "")
    failed = rows.assign(status="failed", error="no luck")
    with pytest.raises(InputError, match="this trial failed"):
        run_again(failed, Settings(store, None, "cpu", "rerun"))
