"""Datasets: digits, torchvision's by name, and their descriptions."""

from __future__ import annotations

import importlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mousterian.cli.commands.data import _describe
from mousterian.data import cache
from mousterian.data.datasets import digits, torchvision
from mousterian.errors import InputError
from mousterian.plugins import registry


def test_the_split_of_digits_is_fixed(tmp_path):
    train, test = digits.load("train", tmp_path), digits.load("test", tmp_path)
    assert {"train": cache.checksums(train), "test": cache.checksums(test)} == digits.CHECKSUMS
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


def test_names_are_found_without_importing_torch():
    program = """
import sys
from mousterian.plugins import registry
from mousterian.data.datasets import cifar10, fashion_mnist, digits, image_folder, npz
plugin = registry.find("datasets", "svhn")
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
    assert registry.find("datasets", "cifar10").module == "mousterian.data.datasets.cifar10"
    assert registry.find("datasets", "cifar100").module == "mousterian.data.datasets.torchvision"


def test_an_unknown_name_gives_the_nearest(tmp_path):
    with pytest.raises(InputError, match="unknown dataset 'svnh'; did you mean 'svhn'"):
        registry.find("datasets", "svnh")
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
def test_files_in_torchvisions_layout_are_found_decoded_and_cached(tmp_path, root):
    images = write_mnist(tmp_path / root / "MNIST" / "raw")
    train = torchvision.load("train", tmp_path, name="mnist")
    assert (train.images[..., 0] == images).all()
    assert train.labels.tolist() == [0, 1, 2, 3, 4]
    assert train.class_names[4] == "4 - four"
    assert len(torchvision.load("test", tmp_path, name="mnist", size=14).images[0]) == 14
    assert sorted(each.name for each in (tmp_path / "mnist").glob("*.npz")) == ["test-14px.npz", "train.npz"]
    described = _describe("mnist", {}, tmp_path)
    assert described["source"] == f"torchvision's files in {tmp_path / root}"
    assert (described["verified"], described["known_sums"]) == (False, False)


def test_images_of_several_sizes_need_a_size(tmp_path):
    for split in ("train", "test"):
        for folder, size in (("CH", (40, 30)), ("FR", (20, 50))):
            path = tmp_path / "country211" / split / folder / "a.jpg"
            path.parent.mkdir(parents=True)
            Image.new("RGB", size).save(path)
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


def test_a_split_name_unknown_to_torchvision_is_reported(tmp_path):
    with pytest.raises(InputError, match="Unknown value 'all' for argument split"):
        torchvision.load("train", tmp_path, name="svhn", train_split="all")


def test_every_classification_dataset_takes_the_arguments_it_is_given():
    """Each of torchvision's constructors can be bound with the arguments that we pass."""
    from torchvision import datasets

    from mousterian.data.datasets import _torchvision

    for name, class_name in torchvision._classes().items():
        known = _torchvision.parameters(getattr(datasets, class_name))
        needed = {
            each.name for each in known.values() if each.default is each.empty and each.kind not in (2, 4)
        }
        assert needed <= {"self", *torchvision.SUPPLIED}, name


def test_describe_says_what_and_where_a_dataset_is(tmp_path):
    described = _describe("digits", {}, tmp_path)
    assert described["verified"] is True
    assert described["shape"] == [8, 8, 1]
    assert described["source"] == "embedded in scikit-learn"
    assert Path(described["path"]).is_file()
    assert described["splits"]["test"] == {
        "count": 600,
        "smallest_class": 60,
        "largest_class": 60,
        "images_sha256": digits.CHECKSUMS["test"].images,
        "labels_sha256": digits.CHECKSUMS["test"].labels,
    }


def test_every_dataset_has_options_help_and_an_origin_of_the_same_options():
    for name, plugin in registry.available("datasets").items():
        assert plugin.summary, name
        origin = importlib.import_module(plugin.module).origin
        assert list(origin.__kwdefaults__ or {}) == [
            option.name for option in plugin.options.values() if not option.required
        ], name
