"""The generator `precomputed`: folders, .npz and parquet files, and their errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mousterian.errors import InputError
from mousterian.synthesis.generators import precomputed
from mousterian.synthesis.kinds import GeneratorContext
from mousterian.synthesis.pool_identity import PoolIdentity
from mousterian.synthesis.pools import Pool

NAMES, SHAPE = ("left", "right"), (8, 8, 1)


def _as_folder(folder: Path) -> Path:
    for name, value in zip(NAMES, (0, 200), strict=True):
        (folder / "FAKE" / name.upper()).mkdir(parents=True)
        for number in range(3):
            pixels = np.full((16, 16), value + number, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "FAKE" / name.upper() / f"{number}.png")
    return folder


def _as_npz(folder: Path) -> str:
    labels = np.array([0, 0, 0, 1, 1, 1])
    images = np.stack([np.full(SHAPE, 200 * label + i % 3, dtype=np.uint8) for i, label in enumerate(labels)])
    np.savez(folder / "pool.npz", image=images, label=labels)
    return str(folder / "pool.npz")


def _as_parquet(folder: Path) -> str:
    files = sorted(_as_folder(folder / "p").rglob("*.png"), key=lambda file: (file.parts[-2], file.name))
    rows = [
        {"image": {"bytes": file.read_bytes(), "path": file.name}, "label": file.parts[-2].lower()}
        for file in files
    ]
    pd.DataFrame(rows).to_parquet(folder / "pool.parquet")
    return str(folder / "pool.parquet")


@pytest.mark.parametrize("make", [lambda folder: str(_as_folder(folder) / "FAKE"), _as_npz, _as_parquet])
def test_precomputed_pools_keep_their_order(make: Any, tmp_path: Path) -> None:
    sampler = precomputed.load(GeneratorContext(NAMES, SHAPE, 0, "cpu", tmp_path), path=make(tmp_path))
    images = sampler.sample(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 2]), np.zeros(4, dtype=np.int64))
    assert images.shape == (4, *SHAPE)
    assert images[:, 0, 0, 0].tolist() == [0, 200, 1, 202]


def test_a_precomputed_pool_can_be_used_up_to_its_last_image(tmp_path: Path) -> None:
    options, dataset = {"path": _as_npz(tmp_path), "synthetic_folder": ""}, {"name": "made", "options": {}}
    identity = PoolIdentity("precomputed", options, "", 0, "elsewhere", dataset, 0, 1.0, 0, 0, revision=2)
    pool = Pool(tmp_path, identity, NAMES)
    pool.ensure(500, SHAPE, lambda: pytest.fail("read the real images"), "cpu")
    assert pool.read(6).images[:, 0, 0, 0].tolist() == [0, 200, 1, 201, 2, 202]
    with pytest.raises(InputError, match="has only 6 images") as caught:
        pool.read(7)
    assert "smaller" in caught.value.hint


def test_a_folder_that_is_no_class_is_reported_with_the_nearest(tmp_path: Path) -> None:
    (_as_folder(tmp_path) / "FAKE" / "RIGHT").rename(tmp_path / "FAKE" / "rigth")
    with pytest.raises(InputError, match="nearest is 'right'"):
        precomputed.load(GeneratorContext(NAMES, SHAPE, 0, "cpu", tmp_path), path=str(tmp_path / "FAKE"))
