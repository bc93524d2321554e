"""Arms compared: differences in accuracy at equal counts, and ratios of what synthetic images are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from mousterian.answers.answerable import refusal
from mousterian.answers.arm_predictions import ArmPredictions
from mousterian.errors import InputError
from mousterian.fitting.columns import COUNTS
from mousterian.fitting.interval import LEVEL, Interval, rounded
from mousterian.fitting.model_average import draw_order
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Array

COLUMNS = ("first", "second", *COUNTS, "difference", "difference_low", "difference_high", "trials", "freedom",
           "p", "p_holm", "ratio", "ratio_low", "ratio_high", "draws")  # fmt: skip
# Levels of subsets from which on trials of one subset are averaged, and subsets compared.
_SUBSETS = 3
_SEEDS = ["subset_seed", "training_seed"]


def compare(
    fits: Mapping[str, Fit] | Sequence[Fit], predictions: ArmPredictions | None = None
) -> pd.DataFrame:
    """Compare every two arms at each mixture with synthetic images that both have measured.

    Args:
        fits: of the arms, by name, or with distinct names of their own.
        predictions: of the arms of these names; differences are then paired by test image as well.

    Returns:
        One row a pair and mixture: first and second (names), n_base, n_real_plus, n_syn_plus; difference
        (accuracy of the first less that of the second, a fraction) with its 95 % interval, degrees of freedom
        and p; trials ("paired" by seed, "one pair" of networks, or "unpaired"); p_holm, corrected for all
        rows; ratio (real images that these synthetic ones are worth in the first over those in the second)
        with its interval, and draws ("paired" or "unpaired"). NaN where unknown.

    Raises:
        InputError: fewer than two arms, two of one name, or no mixture that two of them share.
    """
    named = dict(fits) if isinstance(fits, Mapping) else {fit.name: fit for fit in fits}
    if len(named) < max(len(fits), 2):
        raise InputError(
            f"a comparison needs two or more fits, each with a name of its own: {len(fits)} given, named"
            f" {', '.join(map(repr, named)) or 'nothing'}",
            hint="in Python, a dictionary of fits by name will do",
        )
    found = pd.DataFrame(
        [row for pair in combinations(named, 2) for row in _pair(named, *pair, predictions)],
        columns=list(COLUMNS),
    )
    if found.empty:
        raise InputError(
            f"no mixture with synthetic images was measured in two of {', '.join(named)}",
            hint="measure the arms at the same counts",
        )
    return found.assign(p_holm=holm(found["p"].to_numpy(dtype=float)))


def holm(p: Array) -> Array:
    """Return p-values (M,) adjusted by Holm's step-down method; NaNs are no tests and stay.

    The chance of any false rejection is below the level however the tests depend on one another.
    """
    found = np.full(len(p), math.nan)
    order = np.argsort(p, kind="stable")[: int(np.isfinite(p).sum())]
    steps = (len(order) - np.arange(len(order))) * p[order]
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found


def multiplicity(found: pd.DataFrame) -> str:
    """Return how many differences were tested and are significant, as a sentence."""
    tested = found["p"].notna().sum()
    level = 1 - LEVEL
    before, after = (int((found[name] < level).sum()) for name in ("p", "p_holm"))
    return (
        f"{tested} differences in accuracy were tested: {before} have p < {level:.2g} ({level * tested:.2g}"
        f" expected by chance if no arms differ), {after} after Holm's correction. Ratios are not corrected."
    )


def _pair(
    named: Mapping[str, Fit], first: str, second: str, predictions: ArmPredictions | None
) -> list[tuple[Any, ...]]:
    one, two = named[first], named[second]
    rows = [fit.data[~fit.data["outlier"]] for fit in (one, two)]
    with_synthetic = [each[(each["n_syn_plus"] > 0) & (each["n_base"] > 0)] for each in rows]
    cells = [{tuple(cell) for cell in each[list(COUNTS)].to_numpy()} for each in with_synthetic]
    common = sorted(cells[0] & cells[1])
    ratios, draws = _ratios(one, two, np.array(common).reshape(-1, 3))
    found = []
    for cell, ratio in zip(common, ratios, strict=True):
        mine, theirs = (each[(each[list(COUNTS)] == list(cell)).all(axis=1)] for each in with_synthetic)
        images = predictions.correct((first, mine), (second, theirs)) if predictions else None
        found.append((first, second, *cell, *_difference(mine, theirs, images), math.nan, *ratio, draws))
    return found


def _difference(
    first: pd.DataFrame, second: pd.DataFrame, images: tuple[pd.DataFrame, pd.DataFrame] | None
) -> tuple[float, float, float, str, float, float]:
    """Return the difference in mean accuracy, its interval, how it was had, degrees of freedom, and p."""
    pairs = _paired(*map(_by_trial, (first, second), images or (None, None)))
    if len(pairs) > 1 or (len(pairs) == 1 and images and min(len(first), len(second)) == 1):
        return _tested(float(pairs.mean()), *_variance(pairs), "paired" if len(pairs) > 1 else "one pair")
    means = [float(each["accuracy"].mean()) for each in (first, second)]
    difference = means[0] - means[1]
    if min(len(first), len(second)) > 1:
        parts = np.array([each["accuracy"].var(ddof=1) / len(each) for each in (first, second)])
        scale = float((parts**2 / [len(first) - 1, len(second) - 1]).sum())
        freedom = float(parts.sum() ** 2 / scale) if scale else math.nan  # Welch and Satterthwaite
        return _tested(difference, float(parts.sum()), freedom, "unpaired")
    # One trial each: the binomial noise of their test sets, a bound where they share it.
    rows = pd.concat([first.assign(trials=len(first)), second.assign(trials=len(second))])
    share = (rows["accuracy"] * rows["total"] + 2) / (rows["total"] + 4)  # Agresti and Coull
    noise = share * (1 - share) / rows["total"] / rows["trials"] ** 2
    return _tested(difference, float(noise.sum(skipna=False)), math.inf, "unpaired")


def _by_trial(rows: pd.DataFrame, images: pd.DataFrame | None) -> pd.DataFrame:
    """Return accuracies (T, 1), or what trials did on each test image (T, N), by their seeds where known."""
    seeds = rows[rows["training_seed"].notna()][_SEEDS].fillna({"subset_seed": -1})
    values = rows[["accuracy"]] if images is None else images
    return values.loc[seeds.index].set_axis(pd.MultiIndex.from_frame(seeds))


def _paired(first: pd.DataFrame, second: pd.DataFrame) -> Array:
    """Return differences of trials that share their seeds, (U, N), or of means of three or more subsets."""
    means = [each.groupby(level=_SEEDS).mean() for each in (first, second)]
    common = means[0].index.intersection(means[1].index)
    differences = means[0].loc[common] - means[1].loc[common]
    if common.get_level_values(0).nunique() >= _SUBSETS:
        differences = differences.groupby(level=0).mean()
    return differences.to_numpy(dtype=float)


def _variance(pairs: Array) -> tuple[float, float]:
    """Return the variance of the mean of differences (U, N) by pair and test image, and its freedom.

    Pairs and images are crossed and random. What they do together is in the variance over pairs already.
    """
    units, images = pairs.shape
    of_units = float(pairs.mean(axis=1).var(ddof=1)) / units if units > 1 else 0.0
    if images == 1:
        return of_units, units - 1.0
    of_images = float(pairs.mean(axis=0).var(ddof=1)) / images
    if units == 1:
        return of_images, images - 1.0
    rest = pairs - pairs.mean(axis=1, keepdims=True) - pairs.mean(axis=0) + pairs.mean()
    together = float((rest**2).sum()) / ((units - 1) * (images - 1) * pairs.size)
    of_images = max(of_images - together, 0.0)
    variance = of_units + of_images
    scale = of_units**2 / (units - 1) + of_images**2 / (images - 1)
    return variance, variance**2 / scale if scale else math.nan  # Satterthwaite


def _tested(
    mean: float, variance: float, freedom: float, trials: str
) -> tuple[float, float, float, str, float, float]:
    error, tail = math.sqrt(variance), (1 + LEVEL) / 2
    if not error > 0 or math.isnan(freedom):  # trials that agree to the last digit tell no noise
        return mean, math.nan, math.nan, trials, freedom, math.nan
    if math.isinf(freedom):
        quantile, p = float(ndtri(tail)), 2 * float(ndtr(-abs(mean) / error))
    else:
        quantile, p = float(stdtrit(freedom, tail)), 2 * float(stdtr(freedom, -abs(mean) / error))
    return mean, mean - quantile * error, mean + quantile * error, trials, freedom, p


def _ratios(one: Fit, two: Fit, cells: Array) -> tuple[list[tuple[float, float, float]], str]:
    """Return the ratio of worth at each cell (M, 3), with its interval, and how the draws were paired.

    Draws are paired where both fits have the same mixtures, seeds and bootstrap: each draw then changes the
    residuals of the same trials in both (of the rows that they share, the same residuals).
    """
    unknown = (math.nan, math.nan, math.nan)
    if refusal(one) or refusal(two) or not len(cells):
        return [unknown] * len(cells), ""
    paired = _same_trials(one, two)
    worths = [fit.averaged.real_for(cells[:, 0], cells[:, 2]) for fit in (one, two)]
    draws = [_in_order(fit, drawn) for fit, (_, drawn) in zip((one, two), worths, strict=True)]
    count = min(map(len, draws))
    draws = [drawn[:count] for drawn in draws]
    if not paired:
        draws[1] = draws[1][np.random.default_rng(0).permutation(count)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, drawn = worths[0][0] / worths[1][0], draws[0] / draws[1]
    known = one.averaged.noise_known and two.averaged.noise_known
    found = []
    for index, (_, real, _) in enumerate(cells):
        if real > 0 or not np.isfinite(ratio[index]):
            found.append(unknown)
            continue
        # A draw in which neither has a number, or neither has any worth, may be any ratio.
        low, high = (
            Interval.of_draws(ratio[index], np.where(np.isnan(drawn[:, index]), fill, drawn[:, index]))
            for fill in (0.0, math.inf)
        )
        found.append((float(ratio[index]), low.low if known else math.nan, high.high if known else math.nan))
    return found, "paired" if paired else "unpaired"


def _same_trials(one: Fit, two: Fit) -> bool:
    """Return whether two fits' draws belong together: the same trials but for their arm, seed and number."""
    keys = [*COUNTS, *_SEEDS]
    same = all(one.settings.get(name) == two.settings.get(name) for name in ("seed", "bootstrap"))
    return same and one.data[keys].reset_index(drop=True).equals(two.data[keys].reset_index(drop=True))


def _in_order(fit: Fit, drawn: Array) -> Array:
    """Return a fit's draws (D, M) as they were drawn; an average sorts them by surface."""
    shares = [len(member.draws) for member in fit.averaged.members]
    order = np.argsort(draw_order(shares, int(fit.settings["seed"])), kind="stable")
    found = np.empty_like(drawn)
    found[order] = drawn
    return found


def to_json(found: pd.DataFrame) -> dict[str, Any]:
    """Return a comparison as `mousterian compare --json` prints it."""
    rows = [
        {str(name): value if isinstance(value, str) else rounded(float(value)) for name, value in row.items()}
        for row in found.to_dict("records")
    ]
    return {"comparisons": rows, "multiplicity": multiplicity(found)}
