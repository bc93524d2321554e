"""Quality of internal EDM pools of digits by training steps: does FID fall, do the generators copy?

python benchmarks/quality.py [--folder FOLDER] [--steps 25 100 400 1600] [--n-base 30 300] [--images 1000]

Every pool is measured in the labelled feature space classifier:digits (memorisation in pixels). The table
is printed as markdown; pools and values stay in FOLDER, so that an interrupted run continues.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from mousterian.cli.commands import quality
from mousterian.data import subsets
from mousterian.data.loading import load_images
from mousterian.plugins import registry
from mousterian.plugins.choice import Choice
from mousterian.quality import measurement
from mousterian.quality.inputs import measure_inputs
from mousterian.synthesis.pool_identity import BASE, PoolIdentity
from mousterian.synthesis.pools import Pool
from mousterian.training.device import device_named
from mousterian.training.feature_spaces import Spaces

SHOWN = (
    "fid",
    "kid",
    "inception_score",
    "precision",
    "recall",
    "diversity",
    "domain_accuracy",
    "domain_accuracy_of_patches",
    "nearer_to_seen",
    "copies",
)


def pool_of(n_base: int, steps: int, images: int, store: Path) -> tuple[Path, float]:
    """Make an internal pool unless it exists; return its folder and the seconds that it took."""
    dataset = Choice("digits", {})
    train = load_images(dataset, "train", None)
    options = registry.find("generators", "edm").resolve({"steps": steps})
    identity = PoolIdentity("edm", options, "", 0, BASE, dataset.describe(), 0, 1.0, n_base, 0)
    pool = Pool(store / "pools", identity, train.class_names)
    base = subsets.ordering(train.labels, len(train.class_names), 0)[:n_base]
    started = time.perf_counter()
    pool.ensure(images, train.shape, lambda: train.take(base), device_named("cpu"))
    return pool.folder, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("results/quality"))
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 100, 400, 1600])
    parser.add_argument("--n-base", type=int, nargs="+", default=[30, 300])
    parser.add_argument("--images", type=int, default=1000)
    asked = parser.parse_args()
    spaces = Spaces("cpu")
    print(f"| n_base | steps | {' | '.join(SHOWN)} |\n|{'---|' * (2 + len(SHOWN))}", flush=True)
    for n_base in asked.n_base:
        for steps in asked.steps:
            place, _ = pool_of(n_base, steps, asked.images, asked.folder)
            each = measure_inputs(place, "", asked.images, None)
            values = {}
            for measure in quality._chosen((), (), ""):
                space = measure.for_space(each.space)
                rows = measurement.measured(each, space, spaces, store=asked.folder, seed=0, again=False)
                values.update({row["quantity"]: row["value"] for row in rows})
            shown = " | ".join(f"{values[name]:.3g}" for name in SHOWN)
            print(f"| {n_base} | {steps} | {shown} |", flush=True)
    ends = " | ".join(
        f"{values[name + '_of_test']:.3g}" if f"{name}_of_test" in values else "" for name in SHOWN
    )
    print(f"| test images |  | {ends} |")


if __name__ == "__main__":
    main()
