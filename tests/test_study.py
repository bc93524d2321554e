"""The published study comes out of its published rows again, and its rows out of its grid files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from mousterian.__main__ import main
from mousterian.data.cache import data_directory
from mousterian.store.rows import Store
from mousterian.trials import grid
from mousterian.trials.rerun import trial_of

STUDY = ROOT / "fits" / "study-fashion"
ROWS = STUDY / "rows"
# Each part's folder has its rows, and beside them its fits; and the grid files that have made them.
PARTS = {
    ".": ("study-fashion", "strategies-fashion"),
    "narrow": ("study-fashion-narrow",),
    "trained": ("study-fashion-trained",),
    "ddpm": ("study-fashion-ddpm",),
}
# On a CPU without these, sums are taken in another order: the last digits of a fit may be others.
FEATURES = ("AVX512F", "AVX512_SKX")


def like_the_publishers_cpu() -> bool:
    """Tell whether numpy sums here in the order in which it did for the published fits."""
    from numpy._core._multiarray_umath import __cpu_features__

    return all(__cpu_features__.get(name) for name in FEATURES)


@pytest.fixture(scope="module", params=PARTS)
def part(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def fits(part: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fits")
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--store", str(STUDY / part / "rows"), "--out", str(folder)])
    assert ended.value.code == 0
    return folder


def test_published_fits_come_out_of_published_rows(part: str, fits: Path) -> None:
    names = [path.name for path in sorted((STUDY / part).glob("*.json"))]
    assert names == [path.name for path in sorted(fits.glob("*.json"))]
    for name in names:
        made, published = (fits / name).read_bytes(), (STUDY / part / name).read_bytes()
        if like_the_publishers_cpu():
            assert made == published, name
        ours, theirs = json.loads(made), json.loads(published)
        weights = [{each["name"]: each["weight"] for each in fit["surfaces"]} for fit in (ours, theirs)]
        assert weights[0].keys() == weights[1].keys()
        assert np.allclose([weights[0][key] for key in weights[1]], list(weights[1].values()), atol=1e-3)


@pytest.mark.parametrize("name", PARTS)
def test_rows_are_those_of_the_grid_files(name: str) -> None:
    rows = Store(STUDY / name / "rows").read()
    assert set(rows["status"]) == {"done"}
    asked = {trial.key for file in PARTS[name] for trial in grid.read(ROOT / "grids" / f"{file}.toml")[0]}
    assert set(rows["trial"]) <= asked


@pytest.mark.parametrize("name", PARTS)
def test_every_published_trial_is_made_anew_from_its_row(name: str) -> None:
    rows = Store(STUDY / name / "rows").read()
    for key in rows.drop_duplicates("cell")["trial"]:
        assert trial_of(rows[rows["trial"] == key]).key == key


@pytest.mark.slow
def test_a_published_trial_run_again_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (data_directory(None) / "fashion_mnist" / "train.npz").exists():
        pytest.skip("needs Fashion-MNIST in the data directory: python benchmarks/data.py fashion_mnist")
    rows = Store(ROWS).read()
    smallest = rows[rows["n_syn_plus"] == 0].sort_values(["n_base", "model_options"])["trial"].iloc[0]
    found = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["rerun", smallest, "--store", str(ROWS), "--pools", str(tmp_path), "--json"])
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["values"] == found[1]["values"]
    values = {each["column"]: each for each in found[0]["values"]}
    assert all(values[name]["same"] for name in ("status", "steps", "images_seen"))
    # Trainings round as the processor does: bit for bit on Intel's, where the study was made.
    if "GenuineIntel" in Path("/proc/cpuinfo").read_text():
        assert ended.value.code == 0 and found[0]["same"]
    assert abs(values["top1"]["then"] - values["top1"]["now"]) < 0.01
