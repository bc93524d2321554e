"""What is suggested where subsets, generators, noise or trials are the scarcity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mousterian
from mousterian.answers.suggestion import suggest
from mousterian.errors import InputError

BASES = (100, 200, 400)


def table(
    subsets: int,
    generators: int = 1,
    seeds: int = 1,
    luck: float = 0.0,
    generator_luck: float = 0.0,
    noise: float = 0.001,
    trained_on: str = "base",
) -> pd.DataFrame:
    """Trials whose added real images, and generators' images, are worth more on some levels than others."""
    rng = np.random.default_rng(5)
    of_real = luck * rng.standard_normal(subsets)
    of_generator = generator_luck * rng.standard_normal(generators)
    rows = []
    for subset in range(subsets):
        for n in BASES:
            for seed in range(seeds):
                gain = np.exp(of_real[subset])
                rows += [(n, r * n, 0, subset, 0, seed, n + r * n * gain) for r in (0, 1, 2)]
                for g in range(generators):
                    worth = 0.5 * np.exp(of_generator[g])
                    rows += [(n, 0, s * n, subset, g, seed, n + s * n * worth) for s in (1, 2, 4)]
    names = ["n_base", "n_real_plus", "n_syn_plus", "subset_seed", "generator_seed", "training_seed", "size"]
    made = pd.DataFrame(rows, columns=names)
    accuracy = 0.98 - 1.6 * made["size"] ** -0.35 + noise * rng.standard_normal(len(made))
    return made.drop(columns="size").assign(accuracy=accuracy, total=10_000, trained_on=trained_on)


def fit(rows: pd.DataFrame) -> mousterian.Fit:
    labels = {"trained_on": str(rows["trained_on"].iloc[0])}
    return mousterian.fit(rows, surface="effective_data", bootstrap=200, labels=labels)


def seeds(listed: pd.DataFrame, kind: str) -> list[int]:
    return list(listed[f"{kind}_seeds"].iloc[0])


def test_a_conditional_answer_needs_more_subsets_first() -> None:
    made = fit(table(1))
    listed = suggest(made, trials=18)
    assert seeds(listed, "subset") == [1, 2] and seeds(listed, "generator") == [0]
    assert listed["trials"].sum() == 18 and set(listed["trials"]) == {2}
    # One of each kind at each base: the base alone, real and synthetic images.
    kinds = listed.assign(real=listed["n_real_plus"] > 0, synthetic=listed["n_syn_plus"] > 0)
    assert len(kinds.groupby(["n_base", "real", "synthetic"])) == 9
    assert "conditional on one subset and one generator" in listed.attrs["reason"]
    assert "needs 2 more subset seeds, which these 18 trials add" in listed.attrs["reason"]


@pytest.mark.parametrize(
    ("subsets", "generators", "trained_on"), [(1, 1, "base"), (2, 2, "elsewhere"), (3, 1, "elsewhere")]
)
def test_what_is_suggested_makes_the_answer_one_about_the_population(
    subsets: int, generators: int, trained_on: str
) -> None:
    rows = table(subsets, generators, trained_on=trained_on)
    listed = suggest(fit(rows), trials=60)
    everything = table(6, 6, trained_on=trained_on)
    asked = everything.merge(listed[["n_base", "n_real_plus", "n_syn_plus"]])
    asked = asked[asked["subset_seed"].isin(seeds(listed, "subset"))]
    of_them = asked["generator_seed"].isin(seeds(listed, "generator")) | (asked["n_syn_plus"] == 0)
    both = pd.concat([rows, asked[of_them]]).drop_duplicates(
        ["n_base", "n_real_plus", "n_syn_plus", "subset_seed", "generator_seed"]
    )
    assert len(both) == len(rows) + listed["trials"].sum()
    assert fit(both).conditional == ""


def test_too_few_trials_for_that_narrow_the_conditional_answer_and_say_so() -> None:
    listed = suggest(fit(table(2, seeds=2)), trials=7)
    assert "needs 1 more subset seed, 9 trials at least. These 6 narrow" in listed.attrs["reason"]
    assert seeds(listed, "subset") == [0, 1]
    assert min(min(each) for each in listed["training_seeds"]) == 2
    with pytest.raises(InputError, match="run on all 2"):
        suggest(fit(table(2)), trials=1)


def test_new_subsets_are_suggested_where_their_luck_dominates() -> None:
    listed = suggest(fit(table(4, seeds=2, luck=0.3)), trials=40)
    assert seeds(listed, "subset") == [4, 5]
    assert "with 2 more subset seeds to" in listed.attrs["reason"]
    assert listed.attrs["half_width_after"] < listed.attrs["half_width"]


def test_new_trials_of_the_present_subsets_are_suggested_where_noise_dominates() -> None:
    listed = suggest(fit(table(8, noise=0.01)), trials=40)
    assert seeds(listed, "subset") == list(range(8))
    assert listed["trials"].sum() == 40
    assert min(min(each) for each in listed["training_seeds"]) == 1
    few = suggest(fit(table(4, luck=0.3)), trials=8)
    assert "one more subset seed takes 18 trials" in few.attrs["reason"]


def test_new_generators_are_suggested_where_their_luck_dominates() -> None:
    made = fit(table(4, 3, generator_luck=0.4, trained_on="elsewhere"))
    assert made.conditional == ""
    listed = suggest(made, trials=45)
    assert seeds(listed, "generator") == [3] and seeds(listed, "subset") == [0, 1, 2, 3]
    assert (listed["n_syn_plus"] > 0).all()


def test_the_expected_width_is_about_what_a_new_fit_has() -> None:
    everything = table(12, seeds=2, luck=0.3)
    now = everything[everything["subset_seed"] < 6]
    listed = suggest(fit(now), trials=6 * 18)
    assert seeds(listed, "subset") == list(range(6, 12))
    after = fit(
        pd.concat([now, everything[(everything["subset_seed"] >= 6) & (everything["training_seed"] == 0)]])
    )
    asked = [(n, r * n) for n in BASES for r in (0.25, 0.5, 1)]
    found = [after.equivalence(n_base=n, n_real_plus=real).n_syn_plus for n, real in asked]
    half = np.sqrt(np.mean([(np.log(each.high / each.low) / 2) ** 2 for each in found]))
    assert half == pytest.approx(listed.attrs["half_width_after"], rel=0.5)
