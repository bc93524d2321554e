"""Sample sheets: drawn from a store's pools, saved as files, shown if there are no pools."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import POOL_GRID
from PIL import Image

from mousterian.__main__ import main
from mousterian.data.loading import load_images
from mousterian.errors import InputError
from mousterian.plugins.choice import Choice
from mousterian.store import samples as saved_samples
from mousterian.synthesis import samples


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as left:
        main([str(each) for each in arguments])
    assert left.value.code == 0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    images = np.random.default_rng(0).integers(0, 256, (260, 8, 8, 1), dtype=np.uint8)
    np.savez(folder / "pool.npz", images=images, labels=np.arange(260) % 10)
    grid = POOL_GRID.partition("[[")[0] + f"[[generator]]\nname = 'precomputed'\npath = '{folder}/pool.npz'\n"
    (folder / "grid.toml").write_text(grid)
    run("generate", folder / "grid.toml", "--store", folder / "store")
    return folder / "store"


def test_saved_sheets_are_those_of_the_pools_and_are_shown_if_there_are_none(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "rows" / "samples"
    run("generate", "--samples", folder, "--store", store, "--json")
    files = json.loads(capsys.readouterr().out)["sheets"]
    assert [Path(each).name for each in files] == [
        "01-real-digits.png",
        "02-synthetic-precomputed-trained-elsewhere-generator-seed-0.png",
    ]
    real, synthetic = samples.sheets_of(tmp_path / "rows")
    assert (real.title, synthetic.title) == (
        "Real: digits",
        "Synthetic: precomputed trained elsewhere, generator seed 0",
    )
    assert synthetic.caption.startswith("The pool's first images, unselected: a row for each class")
    assert synthetic.alt == f"{synthetic.title}: sample images, a row for each of 10 classes."
    with Image.open(io.BytesIO(real.png)) as image:
        assert image.size == (real.width, real.height)
        assert image.mode == "L"
        # The sheet's corner is the first image of class 0, each pixel eight times as large.
        digits = load_images(Choice("digits", {}), "train", None)
        first = digits.images[np.flatnonzero(digits.labels == 0)[0], :, :, 0]
        corner = np.asarray(image)[:64, 160:224]
    assert (corner[4::8, 4::8] == first).all()


def test_a_store_with_pools_shows_larger_sheets_than_those_saved(store: Path, tmp_path: Path) -> None:
    small = saved_samples.load(samples.save_sheets(store, tmp_path)[0].parent)
    large = samples.sheets_of(store)
    assert [sheet.title for sheet in small] == [sheet.title for sheet in large]
    assert small[0].width < large[0].width


def test_files_that_are_no_sheets_are_named(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "plain.png")
    with pytest.raises(InputError, match="no sample sheet") as caught:
        saved_samples.load(tmp_path)
    assert caught.value.where.endswith("plain.png")
    (tmp_path / "plain.png").write_bytes(b"no PNG")
    with pytest.raises(InputError, match="it is no PNG"):
        saved_samples.load(tmp_path)
    with pytest.raises(InputError, match="no pools"):
        samples.save_sheets(tmp_path, tmp_path / "saved")


def test_without_pools_or_saved_sheets_there_are_none(tmp_path: Path) -> None:
    assert samples.sheets_of(tmp_path) == ()
