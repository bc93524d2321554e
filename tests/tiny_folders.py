"""Two classes of tiny images in folders, a pool of them, and a grid file of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

_GRID = """
dataset = {{name = "image_folder", path = "{place}/data", size = 8}}
n_base = [4]
n_syn_plus = [4]
model = {{name = "small_cnn", width = 4}}
recipe = {{name = "small", iterations = 2, batch_size = 4}}
training_seeds = [0]
[generator]
name = "precomputed"
path = "{place}/pool"
"""


def write(folder: Path, seed: int, *, channels: int = 3) -> Path:
    """Write three images of two classes, whose files have the same sizes whatever they show."""
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            random = np.random.default_rng([seed, label, number])
            pixels = random.integers(0, 256, (8, 8, channels), dtype=np.uint8).squeeze()
            Image.fromarray(pixels).save(folder / name / f"{number}.bmp")
    return folder


def write_study(place: Path, *, pool_channels: int = 3) -> Path:
    """Write a dataset, a pool and the grid file of both to a folder, and return it."""
    write(place / "data" / "train", 1)
    write(place / "data" / "val", 2)
    write(place / "pool", 3, channels=pool_channels)
    (place / "grid.toml").write_text(_GRID.format(place=place))
    return place
