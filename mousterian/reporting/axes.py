"""Axes of figures: accuracies, added images, and ticks whose labels do not overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator

from mousterian.answers.numbers import number, times
from mousterian.fitting.surface import Array

# In points: width of a tick label's character, its height, and the least gap between labels.
_CHARACTER, _HEIGHT, _GAP = 4.9, 6.0, 7.0


def accuracy_axis(axis: Axis) -> None:
    """Label an axis of accuracies in per cent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))


def stretch(measured: Iterable[float]) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return a suitable scale for the measured values, and its inverse.

    Linear if the values span less than a factor of ten, else linear near zero and logarithmic beyond.
    """
    positive = np.array([value for value in measured if value > 0])
    if not positive.size or positive.max() / positive.min() < 10:
        return np.asarray, np.asarray
    width = float(positive.min())
    return lambda value: np.arcsinh(np.asarray(value) / width), lambda spot: width * np.sinh(spot)


def steps(measured: Sequence[float], count: int, *, beyond: float = 1.0) -> Array:
    """Return `count` values from 0 to `beyond` times the largest measured, evenly spaced on its scale."""
    forward, inverse = stretch(measured)
    return np.asarray(inverse(np.linspace(0.0, beyond * float(forward(np.max(measured))), count)))


def count_axis(axis: Axis, measured: Sequence[float], *, inches: float, unit: float = 0.0) -> None:
    """Scale an axis of added images by `stretch`, with ticks where measurements are.

    Args:
        axis: of a panel: `panel.xaxis` or `panel.yaxis`.
        measured: what was measured, in images; or ratios, then `unit` is 0.
        inches: approximate length of the axis, to space the labels.
        unit: if above 0, a second line under each label gives the value over `unit`, as a ratio.
    """
    forward, inverse = stretch(measured)
    panel = axis.axes
    (panel.set_xscale if axis is panel.xaxis else panel.set_yscale)("function", functions=(forward, inverse))
    values = np.unique([0.0, *measured])
    labels = [f"{number(value)}\n{times(value / unit)}" if unit else f"{value:.3g}" for value in values]
    _put_ticks(axis, values, labels, forward(values), inches=inches)


def log_ticks(axis: Axis, values: Array, *, inches: float, unit: float = 0.0) -> None:
    """Put ticks at (some of) the values on a logarithmic axis; `inches` and `unit` as for `count_axis`."""
    values = np.unique(values)
    labels = [f"{number(value)}\n{times(value / unit)}" if unit else times(value) for value in values]
    _put_ticks(axis, values, labels, np.log(values / values[0]), inches=inches)


def _put_ticks(axis: Axis, values: Array, labels: Sequence[str], spots: Array, *, inches: float) -> None:
    """Put ticks at those values whose labels do not overlap; `spots` are their places in any unit."""
    points = 72 * inches * spots / max(float(spots[-1]), 1e-9)
    across = axis is axis.axes.xaxis
    widths = [_CHARACTER * max(map(len, label.split("\n"))) if across else _HEIGHT for label in labels]
    kept = thinned(points.tolist(), widths)
    axis.set_major_locator(FixedLocator(values[kept].tolist()))
    axis.set_major_formatter(FixedFormatter([labels[index] for index in kept]))
    axis.set_minor_locator(NullLocator())


def thinned(points: Sequence[float], widths: Sequence[float]) -> list[int]:
    """Return which labels at `points` to keep so that none overlap, preferring the last, then the first."""
    kept: list[int] = []
    for index in [len(points) - 1, 0, *range(1, len(points) - 1)]:
        clear = (
            abs(points[index] - points[other]) >= (widths[index] + widths[other]) / 2 + _GAP for other in kept
        )
        if index not in kept and all(clear):
            kept.append(index)
    return sorted(kept)
