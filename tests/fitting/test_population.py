"""Populations of subsets and generators: levels, their variance, and what answers are conditional on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mousterian
from mousterian.fitting.population import Levels, spreads
from mousterian.fitting.surface import Array
from mousterian.fitting.table import check

BASES = (100, 200, 400)


def rows(subsets: int, generators: int, luck: float = 0.0, trained_on: str = "base") -> pd.DataFrame:
    """Trials whose synthetic images are worth half a real one, exp(luck) times that by generator."""
    rng = np.random.default_rng(3)
    cells = [(n, r * n, 0, subset, 0) for subset in range(subsets) for n in BASES for r in (0, 1, 2)]
    effective = [(n + real, 0.0) for n, real, *_ in cells]
    shared = rng.normal(0, luck, generators)
    for subset in range(subsets):
        for generator in range(generators):
            worth = 0.5 * np.exp(shared[generator] if trained_on == "elsewhere" else rng.normal(0, luck))
            cells += [(n, 0, s * n, subset, generator) for n in BASES for s in (1, 2, 4)]
            effective += [(n, s * n * worth) for n in BASES for s in (1, 2, 4)]
    names = ["n_base", "n_real_plus", "n_syn_plus", "subset_seed", "generator_seed"]
    table = pd.DataFrame(cells, columns=names).assign(training_seed=0, trained_on=trained_on, total=10_000)
    accuracy = 0.98 - 1.6 * np.sum(effective, axis=1) ** -0.35
    return table.assign(accuracy=accuracy + rng.normal(0, 0.002, len(table)))


@pytest.mark.parametrize(
    ("subsets", "generators", "trained_on", "expected"),
    [
        (1, 1, "base", "conditional on one subset and one generator"),
        (2, 1, "upstream", "conditional on two subsets and two generators"),
        (1, 3, "base", "conditional on one subset"),
        # Each of these subsets has a generator of its own; one that was trained elsewhere serves all.
        (3, 1, "base", ""),
        (3, 1, "elsewhere", "conditional on one generator"),
        (3, 2, "elsewhere", "conditional on two generators"),
        (3, 3, "elsewhere", ""),
    ],
)
def test_answers_say_what_they_are_conditional_on(
    subsets: int, generators: int, trained_on: str, expected: str
) -> None:
    assert check(rows(subsets, generators, trained_on=trained_on)).levels.conditional == expected


def test_the_fewest_levels_count() -> None:
    table = rows(4, 1)
    few = table[(table["n_base"] < 400) | (table["n_syn_plus"] == 0) | (table["subset_seed"] == 0)]
    assert check(few).levels.conditional == "conditional on one subset and one generator"
    real = table[(table["n_syn_plus"] > 0) | (table["subset_seed"] < 2)]
    assert check(real).levels.conditional == "conditional on two subsets"
    assert check(table[table["n_syn_plus"] == 0]).levels.conditional == ""
    assert check(table.drop(columns=["subset_seed", "generator_seed"])).levels.conditional.endswith(
        "generator"
    )


def _levels(subset: Array, generator: Array, nested: bool) -> Levels:
    return Levels(subset, generator, len(set(subset)), len(set(generator)), nested)


def test_the_variance_of_a_mean_over_subsets_is_that_of_their_means() -> None:
    """A fit of one constant: the spread of its estimate is Student's, standard deviation over root of G."""
    values = np.random.default_rng(0).normal(size=(5, 12)) + np.arange(5)[:, None]
    subset = np.repeat(np.arange(5), 12)
    basis, residual = np.full((1, 60), 60**-0.5), (values - values.mean()).reshape(-1, 1)
    [spread] = spreads(_levels(subset, np.zeros(60, int), True), basis, residual, np.ones(60))
    expected = values.mean(axis=1).std(ddof=1) / np.sqrt(5)
    assert np.sqrt(((spread.tangent.T @ spread.pulls)[0] ** 2).sum()) == pytest.approx(expected)
    assert spread.freedom == 4


def test_noise_is_not_counted_again_where_generators_cross_subsets() -> None:
    rng = np.random.default_rng(1)
    subset, generator = (index.ravel() for index in np.indices((40, 30)))
    found = []
    for spread in (0.0, 1.0):
        values = rng.normal(size=1200) + spread * rng.normal(size=30)[generator]
        values -= values.mean()
        of_subsets, of_generators = spreads(
            _levels(subset, generator, False), np.full((1, 1200), 1200**-0.5), values[:, None], np.ones(1200)
        )
        found.append([((each.tangent.T @ each.pulls)[0] ** 2).sum() for each in (of_subsets, of_generators)])
    # The noise of 1,200 trials of variance 1 is the subsets'; thirty generators of variance 1 add theirs.
    assert found[0][0] == pytest.approx(1 / 1200, rel=0.5)
    assert found[0][1] < 0.5 / 1200
    assert found[1][1] == pytest.approx(1 / 30, rel=0.5)


@pytest.mark.parametrize("trained_on", ["upstream", "elsewhere"])
def test_intervals_hold_the_luck_of_generators(trained_on: str) -> None:
    """The mean over generators that differ by a factor exp(0.3) is less certain than any of them alone."""
    table = rows(4, 4, luck=0.3, trained_on=trained_on)
    widths = []
    one = table[(table["subset_seed"] == 0) & (table["generator_seed"] == 0)]
    for each in (one, table):
        found = mousterian.fit(each, surface="effective_data", bootstrap=300)
        answer = found.equivalence(n_base=200, n_real_plus=200).n_syn_plus
        widths.append(np.log(answer.high / answer.low))
    assert answer.low < 400 < answer.high
    assert found.conditional == ""
    # Four generators of standard deviation 0.3: 2 · 3.18 · 0.3 / 2, nested ones are sixteen.
    assert widths[1] > (0.3 if trained_on == "elsewhere" else 0.15)


def test_generators_alone_widen_the_answer_about_one_subset() -> None:
    widths = []
    for luck in (0.0, 0.3):
        found = mousterian.fit(rows(1, 5, luck=luck), surface="effective_data", bootstrap=300)
        answer = found.equivalence(n_base=200, n_real_plus=200).n_syn_plus
        widths.append(np.log(answer.high / answer.low))
    assert found.conditional == "conditional on one subset"
    assert widths[1] > 2 * widths[0]


def test_a_lucky_subset_is_no_outlier_and_a_misprint_among_several_is() -> None:
    table = rows(6, 6)
    real = (table["n_real_plus"] / table["n_base"]).to_numpy()
    # Real images added to a subset gain or lose up to two points; synthetic rows, the most, scatter by 0.2.
    luck = np.array([-0.01, -0.005, -0.002, 0.002, 0.005, 0.01])[table["subset_seed"]] * real
    table["accuracy"] += luck
    assert not mousterian.fit(table, surface="effective_data", bootstrap=20).outliers
    misprint = table.index[(table["n_real_plus"] == 400) & (table["subset_seed"] == 3)][0]
    table.loc[misprint, "accuracy"] -= 0.5
    [(row, z, _)] = mousterian.fit(table, surface="effective_data", bootstrap=20).outliers
    assert row["n_real_plus"] == 400 and z < 0


def test_saved_fits_say_it_too_and_old_ones_by_their_rows(tmp_path: Path) -> None:
    made = mousterian.fit(rows(3, 1), surface="effective_data", bootstrap=20, labels={"trained_on": "base"})
    made.save(tmp_path / "fit.json")
    assert made.conditional == mousterian.Fit.load(tmp_path / "fit.json").conditional == ""
    old = json.loads((tmp_path / "fit.json").read_text())
    assert old.pop("conditional") == ""
    old["data"].pop("generator_seed")
    assert mousterian.Fit.from_json(old).conditional == ""
    old["labels"] = {}
    assert mousterian.Fit.from_json(old).conditional == "conditional on one generator"
