"""The sampling of test images: its covariance, and that draws hold it once."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from mousterian.fitting.estimation import fit
from mousterian.fitting.image_sampling import ImageSampling, share_of_differences
from mousterian.fitting.population import Spread
from mousterian.fitting.result import Fit
from mousterian.fitting.surface import Array, Points

BASES, IMAGES = (100, 200, 400), 500
NORMAL = NormalDist()


def trials(
    rng: np.random.Generator,
    *,
    subsets: int = 1,
    seeds: int = 3,
    shared: float = 1.5,
    mixed: float = 0.8,
    luck: float = 0.04,
) -> tuple[pd.DataFrame, Array]:
    """Trials on one test set: rows, and correct (R, IMAGES); synthetic images are worth half a real one.

    Args:
        rng: random numbers.
        subsets, seeds: of each mixture.
        shared: how much images differ in difficulty for all trials, over the noise of one trial on one image.
        mixed: how much they differ in difficulty for trials on synthetic images, likewise.
        luck: of a trial and, where there are several, of a subset, on the same scale.
    """
    cells = [(n, r * n, 0) for n in BASES for r in (0, 1, 2)] + [
        (n, 0, s * n) for n in BASES for s in (1, 2, 4)
    ]
    rows = pd.DataFrame(
        [(*cell, u, t) for cell in cells for u in range(subsets) for t in range(seeds)],
        columns=["n_base", "n_real_plus", "n_syn_plus", "subset_seed", "training_seed"],
    )
    effective = rows["n_base"] + rows["n_real_plus"] + rows["n_syn_plus"] / 2
    loading = mixed * (rows["n_syn_plus"] / 2 / effective).to_numpy()
    of_subsets = luck * (subsets > 1)
    scale = np.sqrt(1 + shared**2 + loading**2 + luck**2 + of_subsets**2)
    latent = scale * [NORMAL.inv_cdf(each) for each in 0.98 - 1.6 * effective**-0.35]
    latent += luck * rng.normal(size=len(rows)) + of_subsets * rng.normal(size=subsets)[rows["subset_seed"]]
    images = shared * rng.normal(size=IMAGES) + loading[:, None] * rng.normal(size=IMAGES)
    correct = latent[:, None] + images + rng.normal(size=(len(rows), IMAGES)) > 0
    return rows.assign(accuracy=correct.mean(axis=1), total=IMAGES, trained_on="base"), correct


def fitted(rows: pd.DataFrame, correct: Array | None, **options: int) -> Fit:
    known = np.ones(len(rows), dtype=bool)
    sampling = None if correct is None else ImageSampling.of(known, correct)
    return fit(rows, surface="effective_data", **{"bootstrap": 200, **options}, sampling=sampling)


def width(made: Fit) -> float:
    """Width of the interval of the accuracy without additions, as its standard deviation."""
    found = made.predict(200)
    return (found.high - found.low) / 2 / 1.96


def test_the_covariance_is_that_of_drawing_test_images_again() -> None:
    rng = np.random.default_rng(0)
    correct = rng.random((3, 400)) < [[0.5], [0.7], [0.9]]
    correct[1] |= correct[0]
    found = ImageSampling.of(np.ones(3, dtype=bool), correct)
    weights = rng.multinomial(400, np.full(400, 1 / 400), 20_000) / 400
    assert found.root @ found.root.T == pytest.approx(np.cov(correct @ weights.T), abs=2e-5)
    assert found.freedom == 399


def test_images_of_one_group_count_together() -> None:
    """Of ten patients with forty equal images each, there are ten observations."""
    patients = np.repeat(np.arange(10), 40)
    correct = (np.arange(10) < 7)[patients][None]
    found = ImageSampling.of(np.ones(1, dtype=bool), correct, patients)
    assert (found.root @ found.root.T)[0, 0] == pytest.approx(0.7 * 0.3 / 9)
    assert found.freedom == 9


@pytest.mark.parametrize("subsets", [1, 4])
def test_what_trials_share_is_added(subsets: int) -> None:
    """All trials find the same images hard: however many there are, their mean is no surer than one."""
    rows, correct = trials(np.random.default_rng(1), subsets=subsets, shared=4, mixed=0)
    without, made = fitted(rows, None), fitted(rows, correct)
    alone = ((rows["n_base"] == 200) & (rows[["n_real_plus", "n_syn_plus"]].sum(axis=1) == 0)).to_numpy()
    between = np.cov(correct[alone])[np.triu_indices(alone.sum(), 1)]
    common = np.sqrt(between.mean() / IMAGES)
    assert width(without) < 0.5 * common
    assert width(made) == pytest.approx(common, rel=0.25)
    # Two mixtures share most of it, so that their difference is surer than either accuracy.
    drawn = made.averaged.drawn(Points.of(200, [0, 400], 0))
    assert np.std(drawn[:, 1] - drawn[:, 0]) < 0.7 * common


@pytest.mark.parametrize("subsets", [1, 4])
def test_what_residuals_hold_is_not_counted_again(subsets: int) -> None:
    """Trials that err on images of their own: test noise is in their scatter, all of it, and there alone."""
    found = []
    for seed in range(3):
        rows, correct = trials(
            np.random.default_rng(seed), subsets=subsets, seeds=8, shared=0, mixed=0, luck=0
        )
        found.append((width(fitted(rows, None)), width(fitted(rows, correct))))
    without, made = np.mean(found, axis=0)
    assert made == pytest.approx(without, rel=0.25)
    assert made < 0.25 * np.sqrt(0.25 / IMAGES)  # 8 · subsets trials a cell


def test_the_share_is_that_of_differences_at_one_base() -> None:
    """Noise of trials and of test images, of equal variance in differences; a common shift does not count."""
    rng = np.random.default_rng(0)
    images = np.column_stack([np.eye(4), np.full(4, 10.0)])
    draws = rng.normal(size=(4000, 4)) * np.sqrt(2) + 10 * rng.normal(size=(4000, 1))
    base = np.array([1, 1, 2, 2])
    found = share_of_differences(Spread(np.eye(4), images, 1.0), draws, base, np.arange(4))
    assert found == pytest.approx(0.5, rel=0.05)
    # Two trials of each mixture: each counts.
    twice = np.repeat(np.arange(4), [1, 3, 2, 2])
    effects, each = images[twice], base[twice]
    again = share_of_differences(Spread(np.eye(8), effects, 1.0), draws, each, twice)
    centred, parts = np.zeros_like(effects), draws[:, twice].copy()
    for size in (1, 2):
        centred[each == size] = effects[each == size] - effects[each == size].mean(axis=0)
        parts[:, each == size] -= parts[:, each == size].mean(axis=1, keepdims=True)
    assert again == pytest.approx((centred**2).sum() / parts.var(axis=0).sum())


def test_rows_without_predictions_follow_the_others_or_nothing_is_claimed() -> None:
    rows, correct = trials(np.random.default_rng(2))
    whole = fitted(rows, correct)
    known = (rows["training_seed"] > 0).to_numpy()
    part = fit(
        rows, surface="effective_data", bootstrap=200, sampling=ImageSampling.of(known, correct[known])
    )
    assert width(part) == pytest.approx(width(whole), rel=0.25)
    few = (rows["n_base"] == 100).to_numpy()
    none = fit(rows, surface="effective_data", bootstrap=200, sampling=ImageSampling.of(few, correct[few]))
    assert np.isnan(none.test_set_share)
    assert none.predict(200) == fitted(rows, None).predict(200)


def test_the_order_of_rows_does_not_matter() -> None:
    rows, correct = trials(np.random.default_rng(3))
    order = np.random.default_rng(0).permutation(len(rows))
    one, other = fitted(rows, correct), fitted(rows.iloc[order], correct[order])
    assert other.predict(200) == pytest.approx(one.predict(200))
    assert other.test_set_share == pytest.approx(one.test_set_share)
