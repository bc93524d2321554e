"""CIFAR-10."""

from __future__ import annotations

from pathlib import Path

from mousterian.data.cache import Checksums, Origin
from mousterian.data.datasets._verified import VerifiedDataset
from mousterian.data.image_set import ImageSet

CHECKSUMS = {
    "train": Checksums(
        images="47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        labels="2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    ),
    "test": Checksums(
        images="f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        labels="cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    ),
}
_DATASET = VerifiedDataset("cifar10", "CIFAR10", "cifar-10-batches-py", CHECKSUMS)


def load(split: str, data_dir: Path) -> ImageSet:
    """CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images (32, 32, 3) in 10 classes.

    Read from the data directory (our cache or torchvision's files), else downloaded from the authors by
    torchvision; the sha256 checksums of the arrays are verified.
    """
    return _DATASET.load(split, data_dir)


def origin(data_dir: Path) -> Origin:
    """Return the source of the images and the path of their cache."""
    return _DATASET.origin(data_dir)
