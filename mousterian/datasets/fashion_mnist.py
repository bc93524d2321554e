"""Fashion-MNIST."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mousterian.datasets._cache import Origin, Sums
from mousterian.datasets._known import Known
from mousterian.datasets._sources import Splits, Way, WayError, debian_package
from mousterian.images import ImageSet

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# Computed once from the Debian package. Its .gz files are the authors' with the gzip headers cleaned
# (name and time removed): with the names and the time of 31 August 2017 put back, all four have the md5
# sums that the authors and torchvision publish; a network test does that again.
SUMS = {
    "train": Sums(
        images="2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        labels="657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
    ),
    "test": Sums(
        images="c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        labels="3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    ),
}
# Where the Debian package puts its files, below the root.
FOLDER = "usr/share/datasets/fashion-mnist"


def load(split: str, data_dir: Path) -> ImageSet:
    """Fashion-MNIST (Xiao et al. 2017): 60,000 training and 10,000 test images (28, 28, 1) in 10 classes.

    Taken from the data directory (as kept there, or as torchvision leaves it), else from its authors through
    torchvision, else from the Debian package dataset-fashion-mnist, installed or fetched; the sha256 sums of
    the arrays must be right.
    """
    return _known().load(split, data_dir)


def origin(data_dir: Path) -> Origin:
    """Return how the images were had and where they are kept."""
    return _known().origin(data_dir)


def _known() -> Known:
    package = Way("the Debian package dataset-fashion-mnist", _from_debian)
    return Known("fashion_mnist", "FashionMNIST", "FashionMNIST", SUMS, package)


def _from_debian() -> Splits:
    installed = Path("/") / FOLDER
    if installed.is_dir():
        return _read(installed)
    with debian_package("dataset-fashion-mnist") as root:
        return _read(root / FOLDER)


def _read(folder: Path) -> Splits:
    return {
        split: ImageSet(
            _idx(folder / f"{stem}-images-idx3-ubyte.gz")[:, :, :, None],
            _idx(folder / f"{stem}-labels-idx1-ubyte.gz").astype(np.int64),
            CLASS_NAMES,
        )
        for split, stem in (("train", "train"), ("test", "t10k"))
    }


def _idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file: two zero bytes, type (8: uint8), dimensions, big-endian int32 shape, values."""
    content = gzip.decompress(path.read_bytes())
    zeros, kind, dimensions = content[:2], content[2], content[3]
    if zeros != b"\0\0" or kind != 8:
        raise WayError(f"{path.name} is not an IDX file of bytes")
    shape = np.frombuffer(content, ">i4", count=dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
