"""Labels become classes by the file's own names; what has two readings is refused."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mousterian.data.datasets import npz
from mousterian.data.image_set import concatenate
from mousterian.data.labels import class_labels, classes_by_name
from mousterian.errors import InputError

PETS = ("cat", "dog", "T-shirt/top")
FORMS = ("numbers", "column", "one-hot", "floats", "text", "bytes")


def written(classes: np.ndarray, names: tuple[str, ...], form: str) -> np.ndarray:
    """Return labels (N,) int in one of the forms that a file may have."""
    return {
        "numbers": classes.astype(np.uint8),
        "column": classes[:, None],
        "one-hot": np.eye(len(names), dtype=np.uint8)[classes],
        "floats": classes.astype(np.float32),
        "text": np.array(names)[classes],
        "bytes": np.char.encode(np.array(names)[classes], "utf-8"),
    }[form]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_labels_gives_the_classes(form: str) -> None:
    classes = np.array([2, 0, 1, 1])
    assert class_labels(written(classes, PETS, form), PETS, where="f").tolist() == [2, 0, 1, 1]


def test_numbers_follow_the_files_own_names() -> None:
    own = ["t shirt_TOP", "bird", "Dog", "cat"]
    assert class_labels([3, 2, 0, 3], PETS, own_names=own, where="f").tolist() == [0, 1, 2, 0]
    with pytest.raises(InputError, match=r"f: label 'bird' of row 2 is not a class") as caught:
        class_labels([3, 2, 1], PETS, own_names=own, where="f")
    assert "cat, dog, T-shirt/top" in caught.value.hint


def test_an_exact_name_comes_before_a_similar_one() -> None:
    assert classes_by_name(["c", "C"], ["C", "c"], where="f") == [1, 0]
    assert classes_by_name(["c++", "c"], ["C", "C++"], where="f") == [1, 0]
    with pytest.raises(InputError, match=r"label 'c-' can be 'C' \(class 0\) or 'C\+\+' \(class 1\)"):
        classes_by_name(["c-"], ["C", "C++"], where="f")
    with pytest.raises(InputError, match="'cat' and 'CAT' would all be the class 'cat'"):
        classes_by_name(["cat", "dog", "CAT"], PETS, where="f")


def test_numbers_as_names_against_numbers_as_positions() -> None:
    counted = ("0", "1", "10", "2")  # as folders are sorted
    assert class_labels(["10", "2", "0"], counted, where="f").tolist() == [2, 3, 0]
    with pytest.raises(
        InputError, match="can be names, of the classes 0, 2, or positions from 0, of the classes 0, 10"
    ):
        class_labels([0, 2], counted, where="f")
    assert class_labels([0, 2, 10], counted, where="f").tolist() == [0, 3, 2]  # 10 is no position
    assert class_labels([0, 1, 2], ("1", "2", "3"), where="f").tolist() == [0, 1, 2]  # 0 is no name
    assert class_labels([9, 3], [str(each) for each in range(10)], where="f").tolist() == [9, 3]
    assert class_labels(["cat", "1"], PETS, where="f").tolist() == [0, 1]
    with pytest.raises(
        InputError, match="'0' can be names, of no class, or positions from 0, of the classes 1"
    ):
        class_labels(["0", "1"], ("1", "2"), where="f")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, None, 1], "labels are missing in row 1"),
        (np.array([0, 1, np.nan]), "labels are missing in row 2"),
        (np.array([0, 0.5]), "labels are float64 (2,), not integers"),
        (np.array([0, 1, 5, -1]), "labels run from -1 to 5 but there are 3 class names: row 2"),
        (np.array([[1, 0, 0], [1, 1, 0]]), "are (2, 3), not (N,), and not one-hot: row 1 is [1, 1, 0]"),
        (np.array([[1, 0], [0, 1]]), "labels are (2, 2), not (N,), and there are 3 classes"),
        ([{"a": 1}], "labels are object (1,)"),
        (np.array([2**64 - 1], dtype=np.uint64), "labels run to 18446744073709551615"),
        (np.array(["cat", "hound"]), "label 'hound' of row 1 is not a class"),
        (np.array(["dogg"]), "not a class; the nearest is 'dog'"),
        (np.array([b"\xff"]), "not UTF-8"),
        (np.array(0), "labels are int64 ()"),
    ],
)
def test_labels_that_cannot_be_read_name_the_place(labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        class_labels(labels, PETS, where="f")
    assert "None" not in str(caught.value)


NAMES = st.lists(st.text("abAB _-01é", min_size=1, max_size=4), min_size=1, max_size=5, unique=True)


@settings(deadline=None)
@given(st.data(), NAMES, st.sampled_from(FORMS))
def test_an_npz_in_any_form_is_read_back_or_refused(data: st.DataObject, names: list[str], form: str) -> None:
    """With its own list of names in the file, a dataset's labels come back in every form."""
    rows = data.draw(st.lists(st.integers(0, len(names) - 1), min_size=1, max_size=6))
    classes = np.array(rows)
    labels = written(classes, tuple(names), form)
    images = np.zeros((len(rows), 2, 2), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.npz"
        np.savez(path, x_test=images, y_test=labels, class_names=np.array(names))
        try:
            read = npz.load("test", Path(folder), path=str(path))
        except InputError as error:
            assert str(path) in str(error)
            assert (form, len(names)) == ("one-hot", 1)
            return
    assert read.class_names == tuple(names)
    assert read.labels.tolist() == rows


def test_text_labels_without_class_names_are_sorted(tmp_path: Path) -> None:
    images = np.zeros((3, 2, 2), dtype=np.uint8)
    arrays = {"x_train": images, "y_train": np.array(["dog", "cat", "dog"])}
    np.savez(tmp_path / "own.npz", **arrays, x_test=images, y_test=np.array(["cat", "cat", "dog"]))
    train = npz.load("train", tmp_path, path="own.npz")
    assert (train.class_names, train.labels.tolist()) == (("cat", "dog"), [1, 0, 1])
    np.savez(tmp_path / "own.npz", **arrays, x_test=images, y_test=np.array(["cat", "Dog", "dog"]))
    for split in ("train", "test"):
        with pytest.raises(InputError, match="train has cat, dog; test has Dog, cat, dog"):
            npz.load(split, tmp_path, path="own.npz")
    read = npz.load("test", tmp_path, path="own.npz", class_names=("cat", "dog", "Dog"))
    assert read.labels.tolist() == [0, 2, 1]
    np.savez(tmp_path / "own.npz", **arrays, x_test=images, y_test=np.array([0, 1, 1]))
    with pytest.raises(InputError, match="one split are text, the other's numbers"):
        npz.load("train", tmp_path, path="own.npz")


def test_a_validation_split_is_named_and_not_used(tmp_path: Path) -> None:
    images, labels = np.zeros((2, 2, 2), dtype=np.uint8), np.array([0, 1])
    arrays = {f"{split}_images": images for split in ("train", "val", "test")}
    arrays |= {f"{split}_labels": labels for split in ("train", "val", "test")}
    np.savez(tmp_path / "own.npz", **arrays)
    for split in ("train", "test"):
        read = npz.load(split, tmp_path, path="own.npz")
        assert len(read) == 2
        assert read.notes == (
            f"{tmp_path / 'own.npz'}: its validation split (val_images, val_labels) is kept apart, not used",
        )
        assert read.take([0]).notes == concatenate([read, read]).notes == ()


def test_an_npz_that_lies_or_is_encrypted_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, x_test=np.zeros((3, 2, 2), dtype=np.uint8), y_test=np.zeros(3, dtype=np.int64))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"(3, 2, 2), }", b"(9**12,2),}"))
    with pytest.raises(InputError, match=r"not a readable \.npz file"):
        npz.load("test", tmp_path, path="own.npz")
    # bit 0 of the flags of each member, in its own header (at byte 6) and in the directory (at byte 8)
    locked = bytearray(raw)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in re.finditer(re.escape(mark), raw):
            locked[found.start() + offset] |= 1
    path.write_bytes(locked)
    with pytest.raises(InputError, match="encrypted"):
        npz.load("test", tmp_path, path="own.npz")
