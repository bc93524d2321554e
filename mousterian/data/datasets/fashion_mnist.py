"""Fashion-MNIST."""

from __future__ import annotations

from pathlib import Path

from mousterian.data.cache import Checksums, Origin
from mousterian.data.datasets._verified import VerifiedDataset
from mousterian.data.image_set import ImageSet

# Computed from Debian's copy, whose .gz files, with names and times restored in their gzip headers, have the
# md5 sums that the authors and torchvision publish; a network test repeats this.
CHECKSUMS = {
    "train": Checksums(
        images="2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        labels="657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
    ),
    "test": Checksums(
        images="c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        labels="3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    ),
}
_DATASET = VerifiedDataset("fashion_mnist", "FashionMNIST", "FashionMNIST", CHECKSUMS)


def load(split: str, data_dir: Path) -> ImageSet:
    """Fashion-MNIST (Xiao et al. 2017): 60,000 training and 10,000 test images (28, 28, 1) in 10 classes.

    Read from the data directory (our cache or torchvision's files), else downloaded from the authors by
    torchvision; the sha256 checksums of the arrays are verified.
    """
    return _DATASET.load(split, data_dir)


def origin(data_dir: Path) -> Origin:
    """Return the source of the images and the path of their cache."""
    return _DATASET.origin(data_dir)
