"""Datasets of a user's own: image folders and .npz files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mousterian.cli.commands.data import _describe
from mousterian.data.datasets import image_folder, npz
from mousterian.errors import InputError


def write_npz(path: Path, **changes: object) -> None:
    arrays: dict[str, object] = {
        "train_images": np.arange(36, dtype=np.uint8).reshape(3, 2, 2, 3),
        "train_labels": np.array([0, 1, 2]),
        "test_images": np.zeros((2, 2, 2, 3), dtype=np.uint8),
        "test_labels": np.array([1, 0]),
    }
    arrays |= changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


def test_npz_in_the_data_directory_or_here(tmp_path, monkeypatch):
    write_npz(tmp_path / "own.npz", class_names=np.array(["red", "green", "blue"]))
    train = npz.load("train", tmp_path, path="own.npz")
    assert train.images.ravel().tolist() == list(range(36))
    assert train.class_names == ("red", "green", "blue")
    monkeypatch.chdir(tmp_path)
    test = npz.load("test", tmp_path / "elsewhere", path="own.npz")
    assert test.labels.tolist() == [1, 0]


def test_npz_of_keras_and_medmnist_shapes(tmp_path):
    grey = np.full((3, 4, 5), 9, dtype=np.uint8)
    columns = np.array([[0], [1], [4]], dtype=np.uint8)
    np.savez(tmp_path / "own.npz", x_train=grey, y_train=columns, x_test=grey, y_test=columns[::-1])
    train = npz.load("train", tmp_path, path="own.npz")
    assert train.shape == (4, 5, 1)
    assert train.labels.tolist() == [0, 1, 4]
    assert train.class_names == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((3, 2, 2, 3))}, "train images are float64, not uint8"),
        ({"train_images": None}, "no array train_images or x_train; it has train_labels, test_images"),
        ({"train_labels": np.array([0.5, 1, 2])}, "train labels are float64"),
        ({"train_labels": np.array([0, 1])}, "own.npz, train: 3 images but 2 labels"),
        ({"train_labels": np.array([0, 1, -1])}, "labels run from -1"),
        ({"train_images": np.array([{}, {}, {}])}, "Object arrays cannot be loaded"),
        ({"class_names": np.array(["one"])}, "1 class names"),
    ],
)
def test_npz_that_cannot_be_used_says_why(tmp_path, changes, message):
    write_npz(tmp_path / "own.npz", **changes)
    with pytest.raises(InputError, match=re.escape(message)):
        npz.load("train", tmp_path, path="own.npz")


def test_npz_missing_or_broken(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: there is no such file"):
        npz.load("train", tmp_path, path="none.npz")
    (tmp_path / "own.npz").write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"not a readable \.npz file"):
        npz.load("train", tmp_path, path="own.npz")
    np.save(tmp_path / "own.npy", np.zeros(3))
    with pytest.raises(InputError, match="single array"):
        npz.load("train", tmp_path, path="own.npy")


def test_npz_that_is_a_pipe_or_is_written_to_is_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "null.npz").symlink_to("/dev/null")
    for name, what in (("pipe", "named pipe"), ("null", "device")):
        with pytest.raises(InputError, match=f"it is a {what}, not a file or folder"):
            npz.load("train", tmp_path, path=f"{name}.npz")
    (tmp_path / "own.npz").write_bytes(b"one")
    monkeypatch.setattr(npz, "_read", lambda file, *_, **__: (file.write_bytes(b"another"), ()))
    with pytest.raises(InputError, match="changes while it is read"):
        npz.load("train", tmp_path, path="own.npz")


def test_describe_passes_options_on_and_refuses_wrong_ones(tmp_path):
    write_npz(tmp_path / "own.npz")
    described = _describe("npz", {"path": "own.npz"}, tmp_path)
    assert described["path"] == str(tmp_path / "own.npz")
    assert described["splits"]["train"]["count"] == 3
    with pytest.raises(InputError, match="no option 'pth'; did you mean 'path'"):
        _describe("npz", {"pth": "own.npz"}, tmp_path)


RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)


def paint(path: Path, colour: object, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def pets(tmp_path):
    """Two classes of two training and one test image, of several formats and sizes."""
    root = tmp_path / "pets"
    for folder, colour in (("n1", RED), ("n2", GREEN)):
        paint(root / "train" / folder / "a.JPEG", colour)
        paint(root / "train" / folder / "deeper" / "b.png", colour, size=(17, 64))
        paint(root / "val" / folder / "c.png", colour)
        (root / "train" / folder / "notes.txt").write_text("not an image")
    return root


def test_folders_become_classes_in_their_order(pets, tmp_path):
    train = image_folder.load("train", tmp_path, path="pets", size=16)
    assert train.images.shape == (4, 16, 16, 3)
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert train.class_names == ("n1", "n2")
    assert np.abs(train.images[:2].astype(int) - RED).max() < 10
    assert np.abs(train.images[2:].astype(int) - GREEN).max() < 10
    assert len(image_folder.load("test", tmp_path, path=str(pets), size=16)) == 2


def test_a_class_list_chooses_orders_and_names(pets, tmp_path):
    paint(pets / "train" / "n3" / "a.png", BLUE)
    names = tmp_path / "mine.txt"
    names.write_text("# mine\nn2 green thing\n\nn1\n")
    train = image_folder.load("train", tmp_path, path="pets", size=8, classes=str(names))
    assert train.class_names == ("green thing", "n1")
    assert train.images[0, 0, 0].argmax() == 1


def test_the_centre_is_kept_and_nothing_is_squeezed(tmp_path):
    wide = Image.new("RGB", (90, 30), RED)
    wide.paste(Image.new("RGB", (30, 30), GREEN), (30, 0))
    (tmp_path / "train" / "n1").mkdir(parents=True)
    wide.save(tmp_path / "train" / "n1" / "a.png")
    image = image_folder.load("train", tmp_path, path=str(tmp_path), size=30).images[0]
    assert (image == GREEN).all()


def test_grey_images_stay_grey_unless_mixed(pets, tmp_path):
    for name in ("a.JPEG", "deeper/b.png"):
        paint(pets / "train" / "n1" / name, 90, mode="L")
    assert image_folder.load("train", tmp_path, path="pets", size=8).shape == (8, 8, 3)
    for name in ("a.JPEG", "deeper/b.png"):
        paint(pets / "train" / "n2" / name, 200, mode="L")
    assert image_folder.load("train", tmp_path, path="pets", size=8).shape == (8, 8, 1)


def test_decoded_images_are_cached_until_a_file_changes(pets, tmp_path, monkeypatch):
    image_folder.load("train", tmp_path, path="pets", size=8)
    with monkeypatch.context() as patch:
        patch.setattr(image_folder, "read_image", None)
        image_folder.load("train", tmp_path, path="pets", size=8)
    paint(pets / "train" / "n1" / "a.JPEG", BLUE)
    assert image_folder.load("train", tmp_path, path="pets", size=8).images[0, 0, 0].argmax() == 2


def test_the_folder_test_is_used_without_a_val(pets, tmp_path):
    (pets / "val").rename(pets / "test")
    assert len(image_folder.load("test", tmp_path, path="pets", size=8)) == 2
    with pytest.raises(InputError, match="there is no folder final here"):
        image_folder.load("test", tmp_path, path="pets", size=8, test="final")


def test_folders_that_cannot_be_read_or_are_no_folders_are_refused(pets, tmp_path, monkeypatch):
    (pets / "val").rename(tmp_path / "away")
    os.mkfifo(pets / "val")
    with pytest.raises(InputError, match="there is no folder val here"):
        image_folder.load("test", tmp_path, path="pets")

    def refuse(path):  # root, who may run this test, can read everything
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"train: cannot read \(Permission denied\)"):
        image_folder.load("train", tmp_path, path="pets")


def test_unreadable_images_are_named_with_their_paths(pets, tmp_path):
    for name in ("a.JPEG", "deeper/b.png"):
        (pets / "train" / "n2" / name).write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"2 images cannot be read:\n.*n2/a\.JPEG.*\n.*n2/deeper/b\.png"):
        image_folder.load("train", tmp_path, path="pets", size=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "pest"}, "pest: there is no folder train here"),
        ({"path": "pets", "classes": "imagenet1000"}, "did you mean 'imagenet100'"),
        ({"path": "pets", "classes": "imagenet10"}, "n02108915: this class has no folder"),
        ({"path": "pets", "size": 0}, "size must be 1 pixel or more"),
    ],
)
def test_folders_that_cannot_be_used_say_why(pets, tmp_path, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        image_folder.load("train", tmp_path, **options)


def test_a_class_without_images_or_named_twice_is_refused(pets, tmp_path):
    (pets / "train" / "n3").mkdir()
    with pytest.raises(InputError, match="n3: this class has no images"):
        image_folder.load("train", tmp_path, path="pets")
    (tmp_path / "mine.txt").write_bytes(b"n1 \xff")
    with pytest.raises(InputError, match=r"mine\.txt: the class list cannot be read"):
        image_folder.load("train", tmp_path, path="pets", classes=str(tmp_path / "mine.txt"))
    (tmp_path / "mine.txt").write_text("n1 a\nn1 b\n")
    with pytest.raises(InputError, match=r"mine\.txt:2: the folder n1 is listed twice"):
        image_folder.load("train", tmp_path, path="pets", classes=str(tmp_path / "mine.txt"))


@pytest.mark.parametrize(
    ("name", "count", "known"), [("imagenet10", 10, "zebra"), ("imagenet100", 100, "borzoi")]
)
def test_shipped_class_lists_are_whole(name, count, known):
    classes = image_folder._read_classes(Path(image_folder.__file__).parent / "classes" / f"{name}.txt")
    assert len(classes) == len(set(classes.values())) == count
    assert all(re.fullmatch(r"n\d{8}", folder) for folder in classes)
    assert known in classes.values()
