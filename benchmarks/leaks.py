"""Leak checks on real images: which leaks are caught, how often clean pools are refused, and the time taken.

    python benchmarks/data.py cifar10 fashion_mnist --data-dir DIR
    PYTHONPATH=tests python benchmarks/leaks.py --data-dir DIR [--splits 300] [--leaky 10] [--threads 1]

Every pool is checked against disjoint random parts of one dataset: test images, and unseen real images, as
many of them. A clean pool is a third part. Three tables go to the terminal as markdown, a row as soon as it
is known; about fifteen minutes on one core.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from perturbations import CHANGES, noisy

from mousterian.data.cache import data_directory
from mousterian.data.image_set import ImageSet, concatenate
from mousterian.data.leakage.checks import check_pool, check_set
from mousterian.data.leakage.results import PoolLeaks
from mousterian.data.loading import load_images
from mousterian.plugins.choice import Choice

DATASETS = {"digits": 400, "fashion_mnist": 1000, "cifar10": 1000}  # test images, and unseen ones
SIZES = (50, 200, 600)  # of clean pools
# The last is no copy to an eye that looks pixel by pixel: the pool's nearness alone can tell.
LEAKS = {**CHANGES, "heavy noise (σ = 60)": partial(noisy, sigma=60)}


def both(name: str, data_dir: Path) -> tuple[ImageSet, ImageSet]:
    """Return a dataset's official splits."""
    train, test = (load_images(Choice(name, {}), split, data_dir) for split in ("train", "test"))
    return train, test


def parts(images: ImageSet, seed: int, *sizes: int) -> list[ImageSet]:
    """Return disjoint random parts."""
    order = np.random.default_rng(seed).permutation(len(images))[: sum(sizes)]
    return [images.take(rows) for rows in np.split(order, np.cumsum(sizes)[:-1])]


def changed(images: ImageSet, change: str) -> ImageSet:
    """Return the images as a leak would have them."""
    return ImageSet(LEAKS[change](images.images), images.labels, images.class_names)


def caught(images: ImageSet, held: int, change: str, seed: int, size: int, leaked: int) -> PoolLeaks:
    """Check a pool of `size` images, of which the first `leaked` are test images."""
    test, unseen, clean = parts(images, seed, held, held, size - leaked)
    return check_pool(concatenate([changed(test.take(range(leaked)), change), clean]), test, unseen)


def table(*columns: str) -> None:
    """Open a markdown table."""
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def row(*cells: object) -> None:
    """Print a row of it."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def show_caught(sets: dict[str, ImageSet], splits: int) -> None:
    """Print how many leaky pools are refused or named, and how many of their copies are found."""
    cases = [(50, 50), (50, 25), (200, 200), (200, 100)]
    heads = [f"{leaked} of {size}" for size, leaked in cases]
    table("dataset", "leak", *heads, "if uncalibrated", "nearness named", "copies found")
    for name, images in sets.items():
        for change in LEAKS:
            pools = {
                case: [caught(images, DATASETS[name], change, seed, *case) for seed in range(splits)]
                for case in cases
            }
            every = [pool for found in pools.values() for pool in found]
            row(
                name,
                change,
                *(f"{sum(pool.refused for pool in found)}/{splits}" for found in pools.values()),
                f"{sum(PoolLeaks(pool.copies).refused for pool in every)}/{len(every)}",
                f"{sum(pool.near for pool in every)}/{len(every)}",
                f"{np.mean([pool.copies.found / 200 for pool in pools[200, 200]]):.1%}",
            )
        leaky = 0
        for seed in range(splits):
            test, train = parts(images, seed, 400, 500)
            leaky += check_set(concatenate([test.take(range(100)), train]), test).refused
        row(name, "a set with 100 of 400 test images in train", f"{leaky}/{splits}", *[""] * 6)


def show_false_alarms(sets: dict[str, ImageSet], splits: int) -> None:
    """Print how many clean pools are refused or named, a third of the splits for each size."""
    table("dataset", "clean pools", "refused", "nearness named", "refused if uncalibrated", "sets refused")
    for name, images in sets.items():
        refused = near = blind = sets_refused = 0
        for seed in range(splits):
            size, held = SIZES[seed % len(SIZES)], DATASETS[name]
            pool, test, unseen = parts(images, 1000 + seed, size, held, held)
            found = check_pool(pool, test, unseen)
            refused, near = refused + found.refused, near + found.near
            blind += PoolLeaks(found.copies).refused
            sets_refused += check_set(pool, test).refused
        row(name, splits, refused, near, blind, sets_refused)


def show_official(sets: dict[str, tuple[ImageSet, ImageSet]], threads: int) -> None:
    """Print what official splits have of their own, and the seconds that the checks take."""
    table("dataset", "check", "found", f"seconds with {threads} thread(s)", "of processor")
    for name, (train, test) in sets.items():
        [rest, unseen] = parts(train, 0, 4 * len(train) // 5, len(train) // 5)
        # As many images as the training set has: a quarter of the pool stands in it twice.
        pool = concatenate([rest, rest.take(range(len(train) - len(rest)))])
        for what, check in {
            "official splits": partial(check_set, train, test),
            f"clean pool of {len(pool):,}": partial(check_pool, pool, test, unseen),
        }.items():
            started = time.perf_counter(), time.process_time()
            found = " ".join(check().sentences())
            taken = time.perf_counter() - started[0], time.process_time() - started[1]
            row(name, what, found, *(f"{each:.1f}" for each in taken))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--splits", type=int, default=300, help="clean pools of each dataset")
    parser.add_argument("--leaky", type=int, default=10, help="leaky pools of each kind")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    official = {name: both(name, data_directory(asked.data_dir)) for name in asked.datasets}
    mixed = {name: concatenate(splits) for name, splits in official.items()}
    show_official(official, asked.threads)
    show_caught(mixed, asked.leaky)
    show_false_alarms(mixed, asked.splits)


if __name__ == "__main__":
    main()
