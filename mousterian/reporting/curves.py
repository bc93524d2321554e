"""A fit as curves for the page: accuracy against real and against synthetic images added, for every draw.

The page knows no surface: it has accuracies at the points of a lattice of base sizes and counts, interpolates
between them, and searches equal accuracies as `answers.equivalence` does. Accuracy may have a kink where the
measured range ends: so a curve's counts lie evenly, in ln(1 + count/unit), up to there and from there on,
and bases evenly, in logarithms, between any two that were measured with synthetic images. Draws vary smoothly
over the lattice and are stored as the product of two matrices of integers.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mousterian.answers.measured import synthetic_tried
from mousterian.fitting.surface import Array, Points

if TYPE_CHECKING:
    from mousterian.fitting.result import Fit

# Intervals of a curve inside the measured range, and beyond it to the search limit.
CELLS = {"real": (18, 6), "synthetic": (28, 6)}
# Unit of synthetic counts: below the least rate that is shown, 0.01. Real ones have the base size.
_UNIT = 0.002
# Intervals between two measured bases: at most this far apart in ln(n_base), within least and most.
_STEP, _LEAST, _MOST = 0.18, 4, 8
# Errors tried for the integers of draws, in typical deviations; components of a few errors are left out.
_ERRORS, _FEW = 6e-5 * 1.25 ** np.arange(30), 10
# Bisections of a threshold of trust.
_HALVINGS = 40


def curves(fit: Fit, size: int) -> dict[str, Any]:
    """Return a fit's curves and the range in which each holds, as JSON.

    Arrays are base64 of little-endian numbers: the average's accuracies `estimate` (B·C float32, C of each
    base: of the base alone, then gains from real images, then from synthetic ones), and the draws' deviations
    from it, `rows` (D float32) times `columns` (B·C float32) times the sum over components of `draws` (D) and
    `points` (B·C); these are of int32, int16 and int8, with the steps of each component.

    Args:
        fit: one that tells an equivalence, with known noise.
        size: most characters that the draws may take; their error is the least that these allow.
    """
    measured = [base for base in sorted(synthetic_tried(fit.data)) if base > 0]
    bases, ends = _between(measured)
    limits = _limits(fit, bases)
    accuracies = [_accuracies(fit, base, limit) for base, limit in zip(bases, limits.T, strict=True)]
    estimate = np.concatenate([one for one, _ in accuracies])
    return {
        "bases": bases.tolist(),
        "ends": ends,
        "cells": CELLS,
        "unit": _UNIT,
        "most": {"real": fit.averaged.most_real, "synthetic": fit.averaged.most_synthetic},
        "reach": _reach(fit, bases, limits),
        "estimate": _packed(estimate, "<f4"),
        **_factors(np.concatenate([drawn for _, drawn in accuracies], axis=1) - estimate, size),
    }


def _between(measured: list[float]) -> tuple[Array, list[int]]:
    """Return the lattice's bases (B,), and which of them were measured."""
    found, ends = [measured[0]], [0]
    for low, high in pairwise(measured):
        cells = int(np.clip(np.ceil(np.log(high / low) / _STEP), _LEAST, _MOST))
        found += [*np.geomspace(low, high, cells + 1)[1:-1], high]
        ends.append(len(found) - 1)
    return np.array(found), ends


def _limits(fit: Fit, bases: Array) -> Array:
    """Return the most real and the most synthetic images inside the measured range at each base, (2, B)."""
    real = fit.measured.nearest(Points.of(bases, np.inf, 0.0)).n_real_plus
    return np.stack([np.maximum(real, 0.0), fit.measured.nearest(Points.of(bases, 0.0, np.inf)).n_syn_plus])


def _accuracies(fit: Fit, base: float, limits: Array) -> tuple[Array, Array]:
    """Return the average's (C,) and the draws' (D, C) accuracy of a base alone, and gains from additions."""
    real = _counts(limits[0], fit.averaged.most_real, base, CELLS["real"])
    synthetic = _counts(limits[1], fit.averaged.most_synthetic, _UNIT, CELLS["synthetic"])
    points = Points.of(
        base,
        np.concatenate([[0.0], real, np.zeros_like(synthetic)]),
        np.concatenate([[0.0], np.zeros_like(real), synthetic]),
    )
    estimate, drawn = fit.averaged.estimate(points), fit.averaged.drawn(points)
    for found in (estimate, drawn):
        found[..., 1:] -= found[..., :1]
    return estimate, drawn


def _counts(limit: float, most: float, unit: float, cells: tuple[int, int]) -> Array:
    """Return a curve's counts above zero, up to the limit of the measured range and from there to `most`."""
    end, last = np.log1p(limit / unit), np.log1p(most / unit)
    inside, beyond = np.linspace(0.0, end, cells[0] + 1), np.linspace(end, last, cells[1] + 1)
    return np.asarray(unit * np.expm1(np.concatenate([inside[1:], beyond[1:]])))


def _reach(fit: Fit, bases: Array, limits: Array) -> dict[str, list[list[float]]]:
    """Return up to which number a curve is measured, "inside" and "near" at each base: logarithms, (B, 3).

    Of images in all for real ones, of added ones for synthetic.
    """
    found: dict[str, list[list[float]]] = {kind: [] for kind in CELLS}
    for base, real, synthetic in zip(bases, *limits, strict=True):

        def of_real(number: float, base: float = base) -> str:
            return fit.measured.trust(base, number - base, 0)

        def of_synthetic(number: float, base: float = base) -> str:
            return fit.measured.trust(base, 0, number)

        found["real"].append([float(np.log(base + real)), *_thresholds(of_real, base)])
        found["synthetic"].append([float(np.log(synthetic)), *_thresholds(of_synthetic, 1.0)])
    return found


def _thresholds(trust: Callable[[float], str], least: float) -> list[float]:
    """Return the logarithm of the largest number that is "inside", and that is at least "near"."""
    found = []
    for good in (("inside",), ("inside", "near")):
        low, high = np.log(least), np.log(least) + 50.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if trust(float(np.exp(middle))) in good else (low, middle)
        found.append(float(low))
    return found


def _factors(deviations: Array, size: int) -> dict[str, Any]:
    """Return deviations (D, N) as a product of integers; each column and each row has a scale of its own."""
    columns = _positive(np.sqrt((deviations**2).mean(axis=0)))
    scaled = deviations / columns
    rows = _positive(np.sqrt((scaled**2).mean(axis=1)))
    left, strength, right = np.linalg.svd(scaled / rows[:, None], full_matrices=False)
    right *= strength[:, None]
    peaks = np.abs(left).max(axis=0), np.abs(right).max(axis=1)
    widths = _widths(peaks[0] * peaks[1], size * 3 // 4 // sum(deviations.shape))
    parts = []
    for width in (4, 2, 1):
        mine = widths == width
        steps = [_positive(peak[mine]) / (2.0 ** (8 * width - 1) - 1) for peak in peaks]
        draws, points = np.rint(left.T[mine] / steps[0][:, None]), np.rint(right[mine] / steps[1][:, None])
        parts.append(
            {
                "steps": (steps[0] * steps[1]).tolist(),
                "draws": _packed(draws, f"<i{width}"),
                "points": _packed(points, f"<i{width}"),
            }
        )
    return {"rows": _packed(rows, "<f4"), "columns": _packed(columns, "<f4"), "components": parts}


def _widths(peaks: Array, most: int) -> Array:
    """Return the bytes of each component's integers, `most` in all, for the least error that allows it."""
    for error in _ERRORS:
        bounds = [peaks <= error * scale for scale in (_FEW, 127, 32767)]
        found = np.select(bounds, [0, 1, 2], 4)
        if found.sum() <= most:
            break
    return found


def _positive(scale: Array) -> Array:
    return np.where(scale > 0, scale, 1.0)


def _packed(values: Array, kind: str) -> str:
    return b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()
