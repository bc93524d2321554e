"""The improvement ratio (Eq. 3): gain from synthetic images over gain from as many real ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from mousterian.answers.answerable import refusal
from mousterian.answers.measured import thinned, with_synthetic
from mousterian.fitting.columns import COUNTS
from mousterian.fitting.interval import LEVEL, rounded
from mousterian.fitting.model_average import ModelAverage
from mousterian.fitting.population import FEWEST_LEVELS
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Array, Points

COLUMNS = ("n_base", "r", "ratio", "low", "high", "source", "basis")
_SEEDS = ["subset_seed", "training_seed"]
Basis = Literal["measured", "interpolated", "extrapolated"]


def improvement_ratio(fit: Fit) -> pd.DataFrame:
    """Return the improvement ratio (Eq. 3): columns n_base, r, ratio, low, high, source, basis.

    Source "trials": where synthetic and real gains were measured at the same r, with Fieller's interval
    from differences paired by seed. Source "surface": at every measured r. Basis: whether the base alone and
    both additions were measured at that r, or the ratio rests on inter- or extrapolation. Of more than
    24 base sizes or r, as many, evenly spaced. No rows where the fit can tell no equivalence (`answerable`).
    """
    if refusal(fit):
        return pd.DataFrame(columns=list(COLUMNS))
    found = list(from_trials(fit.data, _noise(fit.data)))
    used = fit.data[~fit.data["outlier"]]
    rows = with_synthetic(used)
    ratios = thinned((rows["n_syn_plus"] / rows["n_base"]).round(6))
    bases = thinned(rows["n_base"])
    cells = used[list(COUNTS)].drop_duplicates()
    found += (
        {**row, "basis": _basis(fit, cells, row["n_base"], row["r"])}
        for row in from_surface(fit.averaged, bases, ratios)
    )
    return pd.DataFrame(found, columns=list(COLUMNS))


def _basis(fit: Fit, rows: pd.DataFrame, base: float, ratio: float) -> Basis:
    """Return what a surface's ratio rests on: accuracies at its three mixtures, or a curve between others."""
    alone, added = rows[rows["n_syn_plus"] == 0], ratio * base
    real = alone["n_base"] + alone["n_real_plus"]
    synthetic = rows.loc[(rows["n_base"] == base) & (rows["n_real_plus"] == 0), "n_syn_plus"]
    if _has(real, base) and _has(real, base + added) and _has(synthetic, added):
        return "measured"
    both = fit.measured.trust(base, added, 0), fit.measured.trust(base, 0, added)
    return "interpolated" if both == ("inside", "inside") else "extrapolated"


def _has(counts: pd.Series[float], wanted: float) -> bool:
    """Return whether a count is among others; as r is rounded, it may be off by an image or two."""
    return bool(((counts - wanted).abs() <= 2.0 + 1e-3 * wanted).any())


def _noise(data: pd.DataFrame) -> Array:
    """Return the binomial variance of each row's accuracy, (R,)."""
    accuracy, total = (data[name].to_numpy(dtype=float) for name in ("accuracy", "total"))
    return np.asarray(accuracy * (1 - accuracy) / total)


def from_trials(rows: pd.DataFrame, noise: Array) -> Iterator[dict[str, Any]]:
    """Yield the ratio at each base and r where both gains were measured.

    Args:
        rows: a fit's rows; those set aside as outliers are left out.
        noise: binomial variance of each row, (R,); NaN where unknown.
    """
    used = rows.assign(noise=noise)[~rows["outlier"].to_numpy(dtype=bool)]
    rows = used[[*COUNTS, "accuracy", *_SEEDS, "noise"]].fillna({"subset_seed": -1})
    alone = rows[rows["n_syn_plus"] == 0]
    synthetic = rows[(rows["n_syn_plus"] > 0) & (rows["n_real_plus"] == 0)]
    cells = alone.groupby(["n_base", "n_real_plus"]).indices
    sizes = alone.groupby(alone["n_base"] + alone["n_real_plus"]).indices

    def real_images(base: float, added: float) -> pd.DataFrame:
        """Return the trials of base + added without synthetic images, or those of a base of that size."""
        return alone.iloc[cells.get((base, added), sizes.get(base + added, []))]

    for base in thinned(rows.loc[rows["n_syn_plus"] > 0, "n_base"]):
        of_base, of_synthetic = real_images(base, 0.0), synthetic[synthetic["n_base"] == base]
        for added in thinned(of_synthetic["n_syn_plus"]):
            real = real_images(base, added)
            if base > 0 and len(of_base) and len(real):
                with_syn = of_synthetic[of_synthetic["n_syn_plus"] == added]
                estimate, low, high = _fieller(of_base, with_syn, real)
                found = (base, added / base, estimate, low, high, "trials", "measured")
                yield dict(zip(COLUMNS, found, strict=True))


def _fieller(alone: pd.DataFrame, synthetic: pd.DataFrame, real: pd.DataFrame) -> tuple[float, float, float]:
    """Return a ratio of gains and Fieller's interval, unbounded where the real gain may be 0."""
    gains = _paired(alone, synthetic, real)
    if gains is not None:
        mean, covariance = gains.mean(axis=0), np.cov(gains.T) / len(gains)
        quantile = float(stdtrit(len(gains) - 1, (1 + LEVEL) / 2))
    else:
        cells = (alone, synthetic, real)
        base, syn, more = (float(cell["accuracy"].mean()) for cell in cells)
        mean = np.array([syn - base, more - base])
        variances, quantile = _unpaired(cells, float(mean[0] / mean[1]) if mean[1] else 1.0)
        shared = variances[0]
        covariance = np.array([[variances[1] + shared, shared], [shared, variances[2] + shared]])
    of_means = float(mean[0] / mean[1]) if mean[1] else math.nan
    if np.isnan(covariance).any():
        return of_means, math.nan, math.nan
    return of_means, *fieller(mean, covariance, quantile)


def fieller(mean: Array, covariance: Array, quantile: float) -> tuple[float, float]:
    """Return Fieller's interval of mean[0]/mean[1]; (-inf, inf) where the denominator may be 0."""
    square = quantile**2
    a = mean[1] ** 2 - square * covariance[1, 1]
    b = mean[0] * mean[1] - square * covariance[0, 1]
    c = mean[0] ** 2 - square * covariance[0, 0]
    inside = b**2 - a * c
    if a <= 0 or inside < 0:
        return -math.inf, math.inf
    return float((b - math.sqrt(inside)) / a), float((b + math.sqrt(inside)) / a)


def _paired(alone: pd.DataFrame, synthetic: pd.DataFrame, real: pd.DataFrame) -> Array | None:
    """Return both gains for each seed that all three cells have, (S, 2); None if fewer than two.

    Where there are enough subset seeds, the training seeds of each count as one.
    """
    if alone["training_seed"].isna().any():
        return None
    cells = [cell.groupby(_SEEDS)["accuracy"].mean() for cell in (alone, synthetic, real)]
    found = pd.concat(cells, axis=1, join="inner")
    if found.index.get_level_values("subset_seed").nunique() >= FEWEST_LEVELS:
        found = found.groupby(level="subset_seed").mean()
    joined = found.to_numpy(dtype=float)
    if len(joined) < 2:
        return None
    return np.stack([joined[:, 1] - joined[:, 0], joined[:, 2] - joined[:, 0]], axis=1)


def _unpaired(cells: Sequence[pd.DataFrame], ratio: float) -> tuple[Array, float]:
    """Return the variances of the cells' means (3,) and the quantile to multiply standard errors with.

    With two rows or more in each cell: their own variances, and Student's t with Satterthwaite's degrees of
    freedom for (ratio − 1)·alone + synthetic − ratio·real, whose mean is zero. Else the variance of a row is
    pooled over the cells, and taken as equal in them; where each has one row, it is the test set's binomial
    variance, a first bound.
    """
    counts = np.array([len(cell) for cell in cells])
    freedom = counts - 1
    means = [float(cell["accuracy"].mean()) for cell in cells]
    squares = np.array([((c["accuracy"] - mean) ** 2).sum() for c, mean in zip(cells, means, strict=True)])
    if not freedom.any():
        noise = np.array([float(cell["noise"].iloc[0]) for cell in cells])
        return noise, float(ndtri((1 + LEVEL) / 2))
    if not freedom.all():
        pooled = int(freedom.sum())
        return squares.sum() / pooled / counts, float(stdtrit(pooled, (1 + LEVEL) / 2))
    variances = squares / freedom / counts
    parts = variances * np.array([ratio - 1.0, 1.0, ratio]) ** 2
    scale = float((parts**2 / freedom).sum())
    effective = max(parts.sum() ** 2 / scale, float(freedom.min())) if scale else float(freedom.sum())
    return variances, float(stdtrit(effective, (1 + LEVEL) / 2))


def from_surface(averaged: ModelAverage, bases: Array, ratios: Array) -> Iterator[dict[str, Any]]:
    """Yield the averaged surface's ratio at each base and r, all columns but `basis`."""
    for base in bases:
        points = Points.of(base, np.concatenate([[0.0], 0 * ratios, ratios * base]),
                           np.concatenate([[0.0], ratios * base, 0 * ratios]))  # fmt: skip
        drawn = np.concatenate(
            [m.surface.accuracy(points, m.draws) for m in averaged.members if len(m.draws)]
        )
        estimate, draws = _ratios(averaged.estimate(points)[None]), _ratios(drawn)
        found = averaged.interval(estimate[0], draws)
        for i, added in enumerate(ratios):
            row = (base, added, found.estimate[i], found.low[i], found.high[i], "surface")
            yield dict(zip(COLUMNS, row, strict=False))


def _ratios(accuracy: Array) -> Array:
    """Return gain ratios (D, M) from accuracies (D, 1 + 2M): alone, with synthetic, with real."""
    gain = accuracy[:, 1:] - accuracy[:, :1]
    half = gain.shape[1] // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(gain[:, :half] / gain[:, half:])


def to_json(ratios: pd.DataFrame) -> list[dict[str, object]]:
    """Return the table as it stands in the fit's JSON."""
    return [
        {str(name): value if isinstance(value, str) else rounded(float(value)) for name, value in row.items()}
        for row in ratios.to_dict("records")
    ]
