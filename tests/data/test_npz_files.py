"""Files of arrays: names given by the user, and files that would fill the memory."""

from __future__ import annotations

import io
import resource
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mousterian.data.datasets import npz
from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.synthesis.generators import precomputed
from mousterian.synthesis.kinds import GeneratorContext

IMAGES = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)


def write(folder: Path, labels: np.ndarray, **more: np.ndarray) -> Path:
    np.savez(folder / "own.npz", x_train=IMAGES, y_train=labels, x_test=IMAGES, y_test=labels, **more)
    return folder / "own.npz"


def test_names_are_given_for_a_file_that_has_none(tmp_path: Path) -> None:
    path = str(write(tmp_path, np.array([2, 0, 1])))
    options = registry.find("datasets", "npz").resolve(
        {"path": path, "class_names": ["cat", "dog", "ant", "bee"]}
    )
    read = npz.load("train", tmp_path, **options)
    assert (read.class_names, read.labels.tolist()) == (("cat", "dog", "ant", "bee"), [2, 0, 1])
    with pytest.raises(InputError, match="train labels run from 0 to 2 but there are 2 class names: row 0"):
        npz.load("train", tmp_path, path=path, class_names=("cat", "dog"))
    with pytest.raises(InputError, match="class_names has cat twice"):
        npz.load("train", tmp_path, path=path, class_names=("cat", "dog", "cat"))


def test_text_labels_keep_their_names_in_the_order_that_is_given(tmp_path: Path) -> None:
    path = str(write(tmp_path, np.array(["dog", "cat", "dog"])))
    read = npz.load("train", tmp_path, path=path, class_names=("dog", "cat"))
    assert (read.class_names, read.labels.tolist()) == (("dog", "cat"), [0, 1, 0])
    with pytest.raises(InputError, match="label 'dog' of row 0 is not a class") as caught:
        npz.load("train", tmp_path, path=path, class_names=("cat", "bee"))
    assert "the classes are cat, bee" in caught.value.hint


def test_names_that_differ_from_the_files_own_are_refused_with_both_lists(tmp_path: Path) -> None:
    path = str(write(tmp_path, np.array([0, 1, 1]), class_names=np.array(["cat", "dog"])))
    assert npz.load("train", tmp_path, path=path, class_names=("cat", "dog")).class_names == ("cat", "dog")
    with pytest.raises(
        InputError, match="own class names are cat, dog, and the option class_names gives dog, cat"
    ):
        npz.load("train", tmp_path, path=path, class_names=("dog", "cat"))


NAMES = st.lists(st.text("abAB _-01é", min_size=1, max_size=4), min_size=2, max_size=5, unique=True)


@settings(deadline=None)
@given(NAMES, st.data(), st.sampled_from(["numbers", "column", "one-hot", "floats", "text"]))
def test_given_names_name_labels_of_every_type(names: list[str], data: st.DataObject, form: str) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, len(names) - 1), min_size=3, max_size=3)))
    labels = {
        "numbers": rows.astype(np.int8),
        "column": rows[:, None],
        "one-hot": np.eye(len(names))[rows],
        "floats": rows.astype(np.float64),
        "text": np.array(names)[rows],
    }[form]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), labels)
        read = npz.load("test", Path(folder), path=str(path), class_names=tuple(names))
    assert (read.class_names, read.labels.tolist()) == (tuple(names), rows.tolist())
    assert (read.images[..., 0] == IMAGES).all()


def header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    """Return what precedes the numbers of an array in a .npy file."""
    file = io.BytesIO()
    text = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, text)
    return file.getvalue()


def compressed(path: Path, pixels: int) -> None:
    """Write an .npz of many zeros, a block at a time."""
    count = pixels // (512 * 512)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("images", "x_test"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(header((count, 512, 512)))
                for _ in range(count):
                    member.write(bytes(512 * 512))
        for name in ("labels", "y_test"):
            archive.writestr(f"{name}.npy", header((count,)) + bytes(count))


def declared(path: Path, shape: tuple[int, ...], descr: str = "|u1") -> None:
    """Write an .npz whose images are said to be larger than they are."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("images", "x_test"):
            archive.writestr(f"{name}.npy", header(shape, descr) + bytes(64))
        for name in ("labels", "y_test"):
            archive.writestr(f"{name}.npy", header((4,)) + bytes(4))


def lying(path: Path) -> None:
    """Write an .npz whose list of contents says that an array is 60 GiB; it has 64 bytes."""
    declared(path, (4, 4, 4))
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(raw)


BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "zeros": (
        lambda path: compressed(path, 1025 << 18),
        r"would grow from [\d.]+ to 256 MiB: it may be a zip",
    ),
    "shape": (lambda path: declared(path, (10**9, 8)), "says that it has 8,000,000,000 bytes, and has 64"),
    "no letters": (lambda path: declared(path, (10**12,), "<U0"), "says that it has 1,000,000,000,000 bytes"),
    "list": (lying, r"would grow from 0\.0 to 4,096 MiB: it may be a zip bomb"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_arrays_that_would_fill_the_memory_are_refused_before_they_do(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bomb.npz"
    make, message = BOMBS[kind]
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=message):
        npz.load("test", tmp_path, path=str(path))
    with pytest.raises(InputError, match=message):
        precomputed.load(GeneratorContext(("a", "b"), (4, 4, 1), 0, "cpu", tmp_path), path=str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_pictures_of_one_colour_are_no_bomb(tmp_path: Path) -> None:
    images = np.zeros((2000, 32, 32, 3), dtype=np.uint8)
    labels = np.zeros(2000, dtype=np.int64)
    np.savez_compressed(tmp_path / "own.npz", x_test=images, y_test=labels)
    assert len(npz.load("test", tmp_path, path="own.npz")) == 2000
