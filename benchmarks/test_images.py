"""Coverage of intervals with and without side files: what the choice of test images adds, in simulations.

    OMP_NUM_THREADS=1 PYTHONPATH=tests/fitting python benchmarks/test_images.py [--tables 100]

The truth is the equivalence of 200 more real images at 200, 400 synthetic ones, and the accuracy there, over
test sets of 500 images; surface `effective_data`, which is the true form.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from test_image_sampling import fitted, trials

from mousterian.answers.equivalence import equivalence
from mousterian.fitting.interval import Interval

DESIGNS: dict[str, dict[str, Any]] = {
    "1 subset × 3 seeds": {},
    "4 subsets × 2 seeds": {"subsets": 4, "seeds": 2},
    "1 × 3, images suit synthetic": {"mixed": 2.0},
    "4 × 2, images suit synthetic": {"subsets": 4, "seeds": 2, "mixed": 2.0},
    "1 × 3, independent errors": {"shared": 0, "mixed": 0},
    "1 subset × 1 seed": {"seeds": 1},
}
EQUIVALENT, ACCURACY = 400, 0.98 - 1.6 * 400**-0.35


def covered(number: int, design: dict[str, Any]) -> list[float]:
    """Return of one table, without and with side files: equivalence covered, log-width, accuracy covered."""
    rows, correct = trials(np.random.default_rng([77, number]), **design)
    found = []
    for known in (None, correct):
        made = fitted(rows, known)
        worth = equivalence(made, n_base=200, n_real_plus=200).n_syn_plus
        accuracy = made.predict(200, 200, 0)
        inside = isinstance(worth, Interval) and worth.low <= EQUIVALENT <= worth.high
        width = (
            np.nan if not isinstance(worth, Interval) else np.log(min(worth.high, 8000) / max(worth.low, 1))
        )
        found += [inside, width, accuracy.low <= ACCURACY <= accuracy.high]
    return found


def main() -> None:
    """Print a row for each design."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tables", type=int, default=100)
    tables = parser.parse_args().tables
    print("| design | equivalence covered | median log-width | accuracy covered |\n|---|---|---|---|")
    for name, design in DESIGNS.items():
        every = np.array([covered(number, design) for number in range(tables)], dtype=float)
        mean, width = every.mean(axis=0), np.nanmedian(every, axis=0)
        print(f"| {name} | {mean[0]:.2f} → {mean[3]:.2f} | {width[1]:.2f} → {width[4]:.2f} |"
              f" {mean[2]:.2f} → {mean[5]:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
