"""A small table that every check passes, for tests that change one column of it."""

from __future__ import annotations

import pandas as pd


def table(**changes: object) -> pd.DataFrame:
    columns = {
        "n_base": [100, 100, 100, 200, 200, 200, 400, 400],
        "n_real_plus": [0, 0, 100, 0, 0, 200, 0, 0],
        "n_syn_plus": [0, 400, 0, 0, 800, 0, 0, 400],
        "accuracy": [0.50, 0.60, 0.61, 0.62, 0.70, 0.71, 0.72, 0.75],
    }
    return pd.DataFrame({**columns, **changes})
