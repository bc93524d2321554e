"""Whether a table tells how far accuracy strays between trials: without that there is no interval."""

from __future__ import annotations

import dataclasses
import math

import pandas as pd

from mousterian.fitting.columns import COUNTS
from mousterian.fitting.interval import Interval
from mousterian.fitting.result import SurfaceFit

# Residual degrees of freedom from which the rows themselves tell their noise: its standard deviation is then
# known within a factor of 2 or so. Fewer say next to nothing.
_LEAST_FREEDOM = 3
UNKNOWN = (
    "No interval: with so few rows nothing tells how far accuracy strays from one trial to the next. Add a"
    " column `total` (the number of test images, for a first bound), or repeat the cells with other seeds."
)


def noise_is_known(rows: pd.DataFrame, parameters: int) -> bool:
    """Return whether intervals can be had: test sets are known, or rows outnumber what is fitted to them.

    Args:
        rows: of a fit, with `outlier`; outliers do not count.
        parameters: of the heaviest surface.
    """
    used = rows[~rows["outlier"].to_numpy(dtype=bool)]
    if used["total"].notna().all():
        return True
    cells = len(used[list(COUNTS)].drop_duplicates())
    return len(used) - min(parameters, cells) >= _LEAST_FREEDOM


def without_intervals(surface: SurfaceFit) -> SurfaceFit:
    """Return a surface whose parameters have no intervals."""
    bare = {name: Interval(value.estimate, math.nan, math.nan) for name, value in surface.parameters.items()}
    return dataclasses.replace(surface, parameters=bare)
