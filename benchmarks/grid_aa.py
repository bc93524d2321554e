"""A/A through the whole pipeline: `mousterian grid`, its store and fits, on pools of other real digits.

    OMP_NUM_THREADS=1 python benchmarks/grid_aa.py --folder /tmp/aa --tables 20

Each table is a dataset (`npz`) with a test set of 500 digits drawn anew. Its pools come from
`other_images.py`, a generator plug-in of the user's kind, found by an entry point: `trained_on = "upstream"`
gives it 800 training images that no mixture of the subset holds, the same for all of its generator seeds, and
it returns them as they are, in an order drawn from its seed. So the pools of a subset are independent draws
from images other than its own, nested in it, and worth exactly themselves. Everything else is as in any grid:
one grid file, the local executor, rows and predictions of test images in the store. Trials that have finished
are not run again.

Prints rows for benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
from population import AA_BASES, AA_POOL, AA_REAL, AA_SEEDS, AA_TEST, aa_row, print_aa

from mousterian.data.image_set import ImageSet, concatenate
from mousterian.data.loading import load_images
from mousterian.fitting.arm_fits import fit_each
from mousterian.fitting.arms import read_arms
from mousterian.plugins.choice import Choice

_SUBSETS, _POOLS, _UPSTREAM = 4, 3, 800
_GRID = f"""
dataset = [{{datasets}}]
n_base = {list(AA_BASES)}
r_real = {list(AA_REAL[1:])}
r_syn = {list(AA_POOL)}
model = {{{{name = "small_cnn", width = 8}}}}
recipe = {{{{name = "small", iterations = 60, batch_size = 48, learning_rate = 0.015, crop = 0}}}}
subset_seeds = {list(range(_SUBSETS))}
generator_seeds = {list(range(_POOLS))}
training_seeds = {list(range(AA_SEEDS))}

[generator]
name = "other_images"
trained_on = "upstream"
n_upstream = {_UPSTREAM}
"""


def run(folder: Path, tables: int, workers: int) -> None:
    """Write the datasets, the entry point and the grid file, and run the grid."""
    info = folder / "other_images-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other_images\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mousterian.generators]\nother_images = other_images:fit\n")
    digits = concatenate([load_images(Choice("digits", {}), split, None) for split in ("train", "test")])
    for table in range(tables):
        _write_dataset(folder / f"digits-{table}.npz", digits, table)
    names = [f'{{name = "npz", path = "{folder.resolve()}/digits-{table}.npz"}}' for table in range(tables)]
    (folder / "aa.toml").write_text(_GRID.format(datasets=", ".join(names)))
    found = [str(folder), str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = ["grid", str(folder / "aa.toml"), "--store", str(folder / "store"), "--workers", str(workers)]
    subprocess.run(
        [sys.executable, "-m", "mousterian", *command],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(found)},
    )


def _write_dataset(path: Path, digits: ImageSet, seed: int) -> None:
    order = np.random.default_rng([seed, 19]).permutation(len(digits))
    test, train = digits.take(order[:AA_TEST]), digits.take(order[AA_TEST:])
    np.savez(path, train_images=train.images, train_labels=train.labels,
             test_images=test.images, test_labels=test.labels)  # fmt: skip


def fits(store: Path) -> None:
    """Fit the arm of each dataset, with all seeds and with the first of each factor but training."""
    for size, where in {"1x1": ["subset_seed=0", "generator_seed=0"], "4x3": []}.items():
        arms = read_arms([str(store)], Path(), where)[0]
        print_aa(size, [aa_row(fit) for fit in fit_each(arms, [], surface="auto", bootstrap=300, seed=0)])


def main() -> None:
    """Run the grid and print the coverage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of the datasets and the store")
    parser.add_argument("--tables", type=int, default=20)
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args()
    run(given.folder, given.tables, given.workers)
    warnings.simplefilter("error")
    fits(given.folder / "store")


if __name__ == "__main__":
    main()
