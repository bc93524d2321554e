"""A table of a grid whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd


def table(kappa: float, seed: int = 0) -> pd.DataFrame:
    """Accuracies of a grid in which a synthetic image is worth `kappa` real ones, with test-set noise."""
    random = np.random.default_rng(seed)
    rows = [
        (base, real, syn, training_seed)
        for base in (200, 800, 3200)
        for real, syn in [(0, 0), *((base * r, 0) for r in (1, 2)), *((0, base * r) for r in (1, 2, 4, 8))]
        for training_seed in range(3)
    ]
    frame = pd.DataFrame(rows, columns=["n_base", "n_real_plus", "n_syn_plus", "training_seed"])
    effective = frame["n_base"] + frame["n_real_plus"] + kappa * frame["n_syn_plus"]
    truth = 0.95 - 1.6 * effective**-0.3
    return frame.assign(top1=random.binomial(4000, truth) / 4000, total=4000)
