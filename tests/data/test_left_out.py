"""Image folders: what is left out is counted and named; all else is read back, or refused by its place."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pictures import FORMATS, STORED, drawn, turned
from PIL import Image

from mousterian.data import cache
from mousterian.data.datasets import image_folder
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError

SIDE = 8


def noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of two images each, in train and in val."""
    for place, split in enumerate(("train", "val")):
        for label, name in enumerate(("cat", "dog")):
            for number in range(2):
                noise(tmp_path / "pets" / split / name / f"{number}.png", 100 * place + 10 * label + number)
    return tmp_path / "pets"


def load(folder: Path, split: str = "train", **options: Any) -> ImageSet:
    return image_folder.load(split, folder.parent / "kept", path=str(folder), size=SIDE, **options)


def notes(folder: Path, split: str = "train", **options: Any) -> list[str]:
    return [
        note.replace(f"{folder}/", "").replace(str(folder), folder.name)
        for note in load(folder, split, **options).notes
    ]


def test_everything_that_is_left_out_is_counted_and_named(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notes(pets) == []
    train, listed = pets / "train", tmp_path / "names.txt"
    listed.write_text("cat\n")
    noise(train / ".trash" / "old.png", 1)
    for name in (".DS_Store", "cat/._0.png", "cat/.nomedia"):
        (train / name).touch()
    for name in ("README", "cat/notes.txt", "dog/notes.txt"):
        (train / name).touch()
    (train / "cat" / "gone.png").symlink_to("nowhere")
    (train / "cat" / "again").symlink_to(train)
    os.mkfifo(train / "cat" / "pipe.png")
    (train / "cat" / "null.png").symlink_to("/dev/null")
    monkeypatch.chdir(train / "cat")  # a socket's path has at most 107 characters
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket.png")
    assert sorted(notes(pets, classes=str(listed))) == [
        "train: 1 broken link left out: cat/gone.png",
        "train: 1 device left out: cat/null.png",
        "train: 1 file outside the class folders left out: README",
        "train: 1 file that is no image by its name left out: cat/notes.txt",
        "train: 1 folder that is no class left out: dog (3 files)",
        "train: 1 link to a folder around it left out: cat/again",
        "train: 1 named pipe left out: cat/pipe.png",
        "train: 1 socket left out: cat/socket.png",
        "train: 4 hidden files or folders left out: .DS_Store, .trash, cat/._0.png and 1 more",
    ]


def test_notes_are_fresh_although_the_decoded_images_are_cached(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notes(pets) == []
    monkeypatch.setattr(image_folder, "read_image", None)
    (pets / "train" / "cat" / ".hidden").touch()
    assert notes(pets) == ["train: 1 hidden file or folder left out: cat/.hidden"]


def test_a_cache_without_notes_is_read(pets: Path) -> None:
    first = load(pets)
    [path] = (pets.parent / "kept" / "image_folder").glob("*.npz")
    with np.load(path) as arrays:
        assert set(arrays.files) == {"images", "labels", "class_names", "source"}
    assert cache.read(path).notes == ()
    assert (load(pets).images == first.images).all()


def test_a_validation_split_is_kept_apart_and_named(pets: Path) -> None:
    for name in ("test", "Valid"):
        noise(pets / name / "cat" / "0.png", 7)
        noise(pets / name / "dog" / "0.png", 8)
    valid = "pets: its validation split (Valid) is kept apart, not used"
    for split in ("train", "test"):
        assert notes(pets, split) == [
            valid,
            "pets: its folder test is not used; the test images are those in val",
        ]
        assert notes(pets, split, test="test")[:2] == [
            valid,
            "pets: its validation split (val) is kept apart, not used",
        ]
    assert len(load(pets, "test")) == 4 and len(load(pets, "test", test="test")) == 2


def test_unreadable_images_are_set_aside_if_asked_for(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = pets / "train"
    whole = load(pets)
    raw = (train / "dog" / "1.png").read_bytes()
    (train / "cat" / "2.png").write_bytes(raw[: len(raw) // 2])
    (train / "dog" / "0a.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"2 images cannot be read:\n.*cat/2\.png .*truncated") as caught:
        load(pets)
    assert "skip_unreadable = true" in caught.value.hint
    for _ in range(2):  # the second time from the cache
        found = load(pets, skip_unreadable=True)
        assert (found.images == whole.images).all() and (found.labels == whole.labels).all()
        [note] = notes(pets, skip_unreadable=True)
        assert note.startswith("train: 2 unreadable images left out: cat/2.png (the image cannot be read (")
        assert note.endswith("dog/0a.png (not an image file)")
        monkeypatch.setattr(image_folder, "read_image", None)
    monkeypatch.undo()
    with pytest.raises(InputError, match="2 images cannot be read"):
        load(pets)  # although those that can be read are cached
    for number in range(150):
        (train / "dog" / f"more{number:03d}.png").write_bytes(b"")
    [note] = notes(pets, skip_unreadable=True)
    assert "152 unreadable images" in note and note.count(".png (") == 100 and note.endswith("and 52 more")
    for file in (train / "cat").iterdir():
        file.write_bytes(b"not an image")
    with pytest.raises(InputError, match="cat: no image of this class can be read"):
        load(pets, skip_unreadable=True)


def test_a_set_that_changes_while_it_is_read_is_refused_also_where_images_are_skipped(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = image_folder.read_image

    def reading(file: Path, size: int) -> NDArray[np.uint8]:
        if file.name == "1.png":
            noise(file.with_name("0.png"), 55)
        return real(file, size)

    monkeypatch.setattr(image_folder, "read_image", reading)
    with pytest.raises(InputError, match=r"train/cat/0\.png: changes while it is read"):
        load(pets, skip_unreadable=True)
    assert not list((pets.parent / "kept").glob("image_folder/*.npz"))


def test_classes_that_differ_between_train_and_test_are_refused_with_both_lists(pets: Path) -> None:
    noise(pets / "val" / "bird" / "0.png", 9)
    (pets / "val" / "dog").rename(pets / "val" / "Dog")
    with pytest.raises(InputError) as caught:
        load(pets, "test")
    assert caught.value.what == (
        "train and val have different classes: train has cat, dog; val has Dog, bird, cat;"
        " in train only: dog; in val only: Dog, bird"
    )
    assert caught.value.where == str(pets) and "`classes`" in caught.value.hint


def test_empty_folders_are_refused(tmp_path: Path) -> None:
    for place in ("empty/train", "classless/train", "imageless/train/cat"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "classless" / "train" / "a.png").touch()
    for name, message in (("empty", "no class folders"), ("classless", "no class folders")):
        with pytest.raises(InputError, match=f"{name}/train: there are {message} here"):
            load(tmp_path / name)
    with pytest.raises(InputError, match="imageless/train/cat: this class has no images"):
        load(tmp_path / "imageless")
    with pytest.raises(InputError, match="nothing: there is no folder train here"):
        load(tmp_path / "nothing")


def test_grey_images_among_coloured_ones_are_converted_and_counted(pets: Path) -> None:
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    grey.save(pets / "train" / "cat" / "grey.png")
    for _ in range(2):  # the second time from the cache
        assert notes(pets) == ["train: 1 of 5 images are grey: they get three equal channels"]


NAMES = st.text("abAB _-01é.", min_size=1, max_size=4).filter(lambda name: not name.startswith("."))
PICTURES = st.tuples(
    st.sampled_from([(mode, form) for mode, forms in FORMATS.items() for form in forms]),
    st.sampled_from(sorted(STORED)),
    st.integers(0, 99),
    st.sampled_from(["", "deeper/", "deeper/still/"]),
    st.sampled_from([".png", ".TIFF", ".Jpg"]),  # a name says nothing of the format
    st.booleans(),
)


def write_class(folder: Path, pictures: list[Any]) -> list[NDArray[np.uint8] | Path]:
    """Write pictures; return what a person sees of each, or the path of a broken one, in the files' order."""
    found: dict[Path, NDArray[np.uint8] | Path] = {}
    for number, ((mode, form), orientation, seed, deeper, suffix, whole) in enumerate(pictures):
        picture, seen = drawn(mode, SIDE, SIDE, seed)
        file = folder / deeper / f"{number}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(turned(picture, form, orientation)[: None if whole else 20])
        found[file] = seen if whole else file
    return [found[file] for file in sorted(found)]


@settings(deadline=None)
@given(
    st.dictionaries(NAMES, st.lists(PICTURES, min_size=1, max_size=3), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
    st.booleans(),
    st.booleans(),
)
def test_a_folder_in_any_form_is_read_back_or_refused_by_its_place(
    classes: dict[str, list[Any]], random: Any, skip: bool, listed: bool
) -> None:
    """Every mode, depth, orientation, name and order; images that cannot be read are skipped, or refused."""
    with tempfile.TemporaryDirectory() as place:
        train, names = Path(place) / "d" / "train", {name: name for name in sorted(classes)}
        options: dict[str, Any] = {"skip_unreadable": skip}
        if listed and (folders := [name for name in names if " " not in name]):
            random.shuffle(folders)
            names = {name: f"the class {number}" for number, name in enumerate(folders[:2])}
            text = "".join(f"{folder} {name}\n" for folder, name in names.items())
            (Path(place) / "list.txt").write_text(text, encoding="utf-8")
            options["classes"] = str(Path(place) / "list.txt")
        written = {name: write_class(train / name, pictures) for name, pictures in classes.items()}
        seen = [[each for each in written[name] if not isinstance(each, Path)] for name in names]
        broken = [each for name in names for each in written[name] if isinstance(each, Path)]
        try:
            read = image_folder.load("train", Path(place), path=str(train.parent), size=SIDE, **options)
        except InputError as error:
            lost = [str(train / name) for name, of_class in zip(names, seen, strict=True) if not of_class]
            assert broken and error.where == (lost[0] if skip else str(train))
            assert skip or str(broken[0].relative_to(train)) in error.what
            return
        assert skip or not broken
        assert read.class_names == tuple(names.values())
        assert read.labels.tolist() == [label for label, of_class in enumerate(seen) for _ in of_class]
        for pixels, expected in zip(
            read.images, [each for of_class in seen for each in of_class], strict=True
        ):
            np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))
        assert all(any(f"{file.relative_to(train)} (" in note for note in read.notes) for file in broken)
        assert any("folder" in note for note in read.notes) or len(names) == len(classes)
