"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mousterian.data.cache import Checksums, Origin, check_split
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.seeds import seed_for

TEST_IMAGES_PER_CLASS = 60
CHECKSUMS = {
    "train": Checksums(
        images="9262b11ace3c848609a28f169bce99095d926e2e3f3d44c73119c3ca467a53c3",
        labels="ced89943b71886d45b149b7074584f1309f3c1142f033e6705ca342533a3aabb",
    ),
    "test": Checksums(
        images="9dc846d1a79ae224023f6d3677d9148670f8f95c05ccc19026350652db614845",
        labels="fd99286d3d828e01fc913b5a55e17e03f075cf55ca4e6db05a5885aa4408f98c",
    ),
}


def load(split: str, data_dir: Path) -> ImageSet:
    """Handwritten digits of 8×8 pixels, included in scikit-learn: nothing is downloaded.

    The test set of Alpaydin and Kaynak's "Optical Recognition of Handwritten Digits" (UCI, 1998): 1,797
    images (8, 8, 1) in 10 classes, 174 to 183 each, with 17 grey levels, scaled from 0..16 to 0..255.
    It has no split of its own, so one is fixed here: the test images of each class are the 60 with the
    smallest seed named ("digits test split", index); 600 in all. The other 1,197 are for training.
    """
    check_split(split)
    table = np.loadtxt(_file(), delimiter=",", dtype=np.int64)
    pixels, labels = table[:, :-1], table[:, -1]
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    rows = np.flatnonzero(_is_test(labels) == (split == "test"))
    return ImageSet(images[rows], labels[rows], tuple("0123456789"))


def origin(data_dir: Path) -> Origin:
    """Return the file of the images in scikit-learn."""
    return Origin("embedded in scikit-learn", _file())


def _file() -> Path:
    # Read directly: importing scikit-learn takes seconds in every process.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        hint = "install it, or everything that training needs: pip install 'mousterian[train]'"
        raise InputError(
            "the dataset is part of scikit-learn, which is not installed", where="digits", hint=hint
        )
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"


def _is_test(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    # Ranks of hashes, not random draws, so that no release of NumPy can change this split.
    seeds = np.array([seed_for("digits test split", index) for index in range(len(labels))])
    test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        members = np.flatnonzero(labels == label)
        test[members[np.argsort(seeds[members])[:TEST_IMAGES_PER_CLASS]]] = True
    return test
