"""A store written by code 694d743 can still be read, fitted, reported and continued, on the command line."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from PIL import Image

from mousterian.api import Fit

OLD = ROOT / "tests" / "store" / "694d743"
ARMS = ["digits-edm-base", "digits-edm-upstream"]
POOLS = ["b81a46d0dbcf0e66", "c31912d09709636d", "d53dd644051cc866"]
TRAINED = POOLS[1]  # the one that still has its generator's weights
LONG = "c959ad90fb6310e8.checkpoint"
Run = Callable[..., tuple[int, str, str]]

# Checkpoints are due after a minute of training. With this clock, two seconds are a minute.
FAST_CLOCK = "import time\nclock = time.perf_counter\ntime.perf_counter = lambda: 30 * clock()\n"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the old folder, writable."""
    return shutil.copytree(OLD, tmp_path / "old", copy_function=shutil.copyfile)


@pytest.fixture
def ask(run: Run) -> Callable[..., Any]:
    """Run a command that must succeed and return its JSON."""

    def answer(*arguments: object) -> Any:
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return answer


def rows(store: Path) -> pd.DataFrame:
    """The store's trials, read by any parquet reader."""
    files = sorted(store.glob("**/*.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files]).sort_values("trial").reset_index(drop=True)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but empty lock files."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in found.items() if data}


def test_the_rows_are_listed(old: Path, ask: Callable[..., Any]) -> None:
    cells = ask("store", "ls", "--store", old / "store")
    assert len(cells) == 12
    assert sum(cell["done"] for cell in cells) == 24
    assert not sum(cell["failed"] + cell["diverged"] for cell in cells)
    listed = {
        (cell["trained_on"], cell["n_base"], cell["n_real_plus"], cell["n_syn_plus"]): cell["top1"]
        for cell in cells
    }
    assert listed["", 30, 0, 0] == pytest.approx(0.8758333)
    assert listed["", 60, 60, 0] == pytest.approx(0.9316667)
    assert listed["base", 60, 0, 240] == pytest.approx(0.7766667)
    assert listed["upstream", 30, 0, 120] == pytest.approx(0.6591667)


def test_files_are_intact_and_a_corrupt_one_is_named(old: Path, ask: Callable[..., Any], run: Run) -> None:
    assert ask("store", "verify", "--store", old / "store") == []
    trial = min((old / "store" / "trials").iterdir())
    trial.write_bytes(trial.read_bytes()[:-100])
    code, out, err = run("store", "verify", "--store", old / "store")
    assert code != 0 and trial.name in out + err


def test_the_rows_are_exported(old: Path, ask: Callable[..., Any]) -> None:
    done = ask("store", "export", old / "fixture.toml", "--store", old / "store", "--out", old / "new")
    assert (done["trials"], done["missing"]) == (24, 0)
    columns = ["trial", "n_base", "n_syn_plus", "training_seed", "pool", "top1", "loss", "steps"]
    pd.testing.assert_frame_equal(rows(old / "new")[columns], rows(old / "store" / "trials")[columns])


def test_nothing_of_the_grid_is_run_again(old: Path, ask: Callable[..., Any], run: Run) -> None:
    before = content(old / "store" / "trials") | content(old / "store" / "pools")
    code, out, err = run("grid", old / "fixture.toml", "--store", old / "store", "--dry-run")
    assert code == 0, err
    assert "0 new trials, 24 done, 0 failed" in out
    done = ask("grid", old / "fixture.toml", "--store", old / "store")
    assert (done["run"], done["already_done"], done["left"]) == (0, 24, 0)
    assert content(old / "store" / "trials") | content(old / "store" / "pools") == before


# Accuracies with their 95 % intervals, as code 694d743 answered: n_base, n_real_plus, n_syn_plus, then these.
PREDICTED = [
    ("digits-edm-base", 30, 0, 30, 0.7959448, 0.7799873, 0.8085652),
    ("digits-edm-base", 60, 60, 0, 0.9405517, 0.9301254, 0.9502664),
    ("digits-edm-base", 60, 0, 120, 0.8220061, 0.8054410, 0.8362832),
    ("digits-edm-upstream", 30, 0, 30, 0.7887846, 0.7616842, 0.8120287),
    ("digits-edm-upstream", 60, 60, 0, 0.9461969, 0.9300744, 0.9599206),
    ("digits-edm-upstream", 60, 0, 120, 0.8276393, 0.8007906, 0.8478331),
]


@pytest.mark.parametrize(("name", "n_base", "n_real", "n_syn", "estimate", "low", "high"), PREDICTED)
def test_the_old_fits_predict_as_they_did(
    ask: Callable[..., Any],
    name: str,
    n_base: int,
    n_real: int,
    n_syn: int,
    estimate: float,
    low: float,
    high: float,
) -> None:
    sizes = ["--n-base", n_base, "--n-real-plus", n_real, "--n-syn-plus", n_syn]
    found = ask("predict", OLD / "fits" / f"{name}.json", *sizes)
    assert [found[key] for key in ("estimate", "low", "high")] == pytest.approx(
        [estimate, low, high], abs=1e-6
    )
    assert found["trust"] == "inside"


@pytest.mark.parametrize(
    ("name", "best", "share"), [(ARMS[0], 0.9322091, 0.009), (ARMS[1], 0.9363475, 0.023)]
)
def test_the_old_fits_give_the_same_equivalence(
    ask: Callable[..., Any], name: str, best: float, share: float
) -> None:
    fit = OLD / "fits" / f"{name}.json"
    found = ask("equivalence", fit, "--n-base", 60, "--n-real-plus", 60)
    assert (found["n_syn_plus"], found["reachable"], found["trust"]) == (None, False, "near")
    assert found["saturation_accuracy"] == pytest.approx(best, abs=1e-6)
    assert found["share_reachable"] == pytest.approx(share, abs=1e-6)
    harm = ask("equivalence", fit, "--n-base", 60, "--n-syn-plus", 60)
    assert harm["n_real_plus"] == {"estimate": 0.0, "low": 0.0, "high": 0.0}
    assert harm["accuracy"]["estimate"] < best


@pytest.mark.parametrize("name", ARMS)
def test_the_old_fits_are_saved_under_todays_keys_with_the_same_numbers(name: str, tmp_path: Path) -> None:
    old = json.loads((OLD / "fits" / f"{name}.json").read_text())
    Fit.load(OLD / "fits" / f"{name}.json").save(tmp_path / "new.json")
    new = json.loads((tmp_path / "new.json").read_text())
    assert (old["version"], new["version"]) == (1, 2)
    renamed = {"reach": "search_limits", "beyond": "extrapolation", "draws": "draws", "data": "data"}
    assert {key: new[key] for key in renamed.values()} == {renamed[key]: old[key] for key in renamed}
    before = [each["foretold"] for each in old["surfaces"]]
    assert [each["extrapolation_error"] for each in new["surfaces"]] == before


def test_the_rows_are_fitted_as_they_were(old: Path, ask: Callable[..., Any], run: Run) -> None:
    code, _, err = run("fit", old / "store", "--out", old / "new")
    assert code == 0, err
    assert sorted(path.stem for path in (old / "new").iterdir()) == ARMS
    for name, n_base, n_real, n_syn, estimate, low, high in PREDICTED:
        sizes = ["--n-base", n_base, "--n-real-plus", n_real, "--n-syn-plus", n_syn]
        found = ask("predict", old / "new" / f"{name}.json", *sizes)
        # Processors differ in the last digits, which the weights of the surfaces magnify.
        assert [found[key] for key in ("estimate", "low", "high")] == pytest.approx(
            [estimate, low, high], abs=2e-3
        )


def test_the_old_fits_and_their_store_are_reported(old: Path, ask: Callable[..., Any]) -> None:
    page = old / "report.html"
    fits = [old / "fits" / f"{name}.json" for name in ARMS]
    said = ask("report", *fits, "--store", old / "store", "--out", page)
    assert [arm["name"] for arm in said["arms"]] == ARMS
    assert [arm["setting"] for arm in said["arms"]] == ["internal", "external"]
    for arm in said["arms"]:
        assert "no number of synthetic images" in arm["answer"]
        assert arm["facts"]["Trials"] == "16 in 8 cells"
    text = page.read_text()
    assert all(name in text for name in ARMS)
    pictures = re.findall(r'src="data:image/png;base64,([^"]*)"', text)
    assert len(pictures) == 1 + len(POOLS)  # real images, and those of each pool
    for picture in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).verify()


def test_the_pools_are_listed_verified_and_drawn(old: Path, ask: Callable[..., Any], run: Run) -> None:
    store = old / "store"
    listed = ask("generate", "--list", "--store", store)["pools"]
    assert [pool["pool"] for pool in listed] == POOLS
    assert {pool["images"] for pool in listed} == {260}
    assert listed[0]["made by"] == "edm trained on upstream of 200"
    assert listed[0]["training"] == "40 steps, loss 1.11631"
    code, out, err = run("generate", "--sheet", "--store", store)
    assert code == 0, err
    sheets = [store / "pools" / pool / "sheet.png" for pool in POOLS]
    assert [line for line in out.split() if line.endswith(".png")] == [str(sheet) for sheet in sheets]
    for sheet in sheets:
        assert np.asarray(Image.open(sheet)).std() > 20  # not one grey
    assert ask("generate", "--verify", "--store", store) == {"faults": []}
    shard = store / "pools" / POOLS[0] / "shard-00000.npz"
    shard.write_bytes(shard.read_bytes()[:-100])
    code, out, err = run("generate", "--verify", "--store", store)
    assert code != 0 and POOLS[0] in out + err


def images(shard: Path) -> np.ndarray:
    """The array of uint8 images in a shard."""
    with np.load(shard) as held:
        (found,) = (held[name] for name in held.files if held[name].ndim >= 3)
    return found.astype(np.float64)


def test_the_old_weights_make_a_lost_shard_again(old: Path, ask: Callable[..., Any]) -> None:
    folder = old / "store" / "pools" / TRAINED
    shard, weights = folder / "shard-00000.npz", (folder / "weights.safetensors").read_bytes()
    before = images(shard)
    shard.unlink()
    done = ask("generate", "--pool", TRAINED, "--count", 260, "--store", old / "store")
    assert [pool["new"] for pool in done["pools"]] == [260]
    assert (folder / "weights.safetensors").read_bytes() == weights  # nothing was trained again
    assert abs(images(shard) - before).mean() < 0.5  # bit for bit on the processor that made them


def checkpoint(path: Path) -> dict[str, Any]:
    """Return where a training was when it was saved: the file is a sha256, then what torch saved."""
    data = path.read_bytes()
    assert hashlib.sha256(data[64:]).hexdigest().encode() == data[:64]
    held = torch.load(io.BytesIO(data[64:]), map_location="cpu", weights_only=True)
    state: dict[str, Any] = held["state"]
    return state


def start(grid: Path, store: Path, site: Path) -> subprocess.Popen[str]:
    """Start `mousterian grid` with the fast clock in each of its processes."""
    site.mkdir()
    (site / "sitecustomize.py").write_text(FAST_CLOCK)
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-m", "mousterian", "grid", str(grid), "--store", str(store)]
    return subprocess.Popen(
        [*command, "--workers", "1", "--device", "cpu"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_interrupted_training_continues_from_its_checkpoint(old: Path, tmp_path: Path) -> None:
    saved = old / "store" / "checkpoints" / LONG
    first, before = checkpoint(saved), saved.read_bytes()
    assert first["step"] == 9750
    training = start(old / "long.toml", old / "store", tmp_path / "site")
    try:
        deadline = time.monotonic() + 100  # seconds; a loaded machine
        while saved.read_bytes() == before and training.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        later = checkpoint(saved)
    finally:
        training.terminate()
        try:
            said, _ = training.communicate(timeout=60)
        finally:
            training.kill()
    # From step 0, two seconds of training would not come near 9750, nor count the first part's minute.
    assert 9750 < later["step"] < 40_000, said
    assert later["seconds"] > first["seconds"] + 30
    assert "ignored" not in said and "starts anew" not in said
    assert checkpoint(saved)["step"] >= later["step"]  # kept when the training is stopped
