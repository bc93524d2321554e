"""Arms are never pooled, are fitted one by one, and compared with intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind, ttest_rel

import mousterian
from mousterian.answers.comparison import compare, holm, multiplicity
from mousterian.errors import InputError
from mousterian.reporting.page import contents, render


def two_arms(seed: int = 5, worth: tuple[float, float] = (0.5, 0.2), noise: float = 0.003) -> pd.DataFrame:
    """Two generators whose images are worth so many real ones; rows of real images alone are shared."""
    rng = np.random.default_rng(seed)
    cells = [(base, r * base, 0) for base in (500, 1000, 2000) for r in (0, 1, 2)]
    rows = [("", *cell, s) for cell in cells for s in range(3)]
    rows += [(name, base, 0, r * base, s) for name in ("one", "two") for base in (500, 1000, 2000)
             for r in (1, 2, 5) for s in range(3)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["generator", "n_base", "n_real_plus", "n_syn_plus", "training_seed"])
    kappa = frame["generator"].map({"": 0.0, "one": worth[0], "two": worth[1]})
    effective = frame["n_base"] + frame["n_real_plus"] + kappa * frame["n_syn_plus"]
    return frame.assign(accuracy=0.95 - 4 * effective**-0.45 + rng.normal(0, noise, len(frame)))


@pytest.fixture(scope="module")
def fits() -> dict[str, mousterian.Fit]:
    return mousterian.fit_arms(two_arms(), surface="effective_data", bootstrap=200)


def test_rows_of_several_arms_are_refused_with_columns_and_values() -> None:
    with pytest.raises(InputError, match="several arms: generator is one, two") as caught:
        mousterian.fit(two_arms())
    assert "fit_arms" in caught.value.hint
    for column in ("model", "dataset", "strategy", "recipe"):
        mixed = two_arms().query("generator != 'two'").assign(**{column: lambda rows: rows.index % 2})
        with pytest.raises(InputError, match=f"several arms: {column} is 0, 1"):
            mousterian.fit(mixed)
    one = two_arms().query("generator != 'two'")
    for column in ("code_revisions", "content_stamps"):
        # What says something of the generator alone differs between real and synthetic rows of one arm.
        same = one.assign(**{column: np.where(one["n_syn_plus"] > 0, "generator 2", "")})
        assert mousterian.fit(same, surface="effective_data", bootstrap=20).cells == 18
        other = same.assign(**{column: np.where(one["training_seed"] == 1, "dataset 2", same[column])})
        with pytest.raises(InputError, match=f"{column} is"):
            mousterian.fit(other)


def test_each_arm_is_fitted_as_if_it_were_alone(fits: dict[str, mousterian.Fit]) -> None:
    assert list(fits) == ["one", "two"]
    alone = mousterian.fit(
        two_arms().query("generator != 'two'"), surface="effective_data", bootstrap=200, name="one"
    )
    asked = {"n_base": 1000, "n_real_plus": 500}
    assert fits["one"].equivalence(**asked) == alone.equivalence(**asked)
    assert fits["one"].labels["generator"] == "one"


def test_an_arm_that_cannot_be_fitted_is_named_and_the_others_are_fitted() -> None:
    rows = two_arms()
    few = rows[(rows["generator"] == "one") | ((rows["generator"] == "two") & (rows.index < 0))]
    other = pd.DataFrame(
        {"generator": ["two"], "n_base": [1], "n_real_plus": [0], "n_syn_plus": [1], "accuracy": [0.5]}
    )
    with pytest.warns(UserWarning, match="two is not fitted: too few rows"):
        found = mousterian.fit_arms(pd.concat([few, other]), surface="effective_data", bootstrap=20)
    assert list(found) == ["one"]


def test_the_command_line_gives_the_same_arms(run, tmp_path: Path) -> None:
    two_arms().to_csv(tmp_path / "two.csv", index=False)
    fit = ("fit", "two.csv", "--surface", "effective_data", "--bootstrap", 200, "--out", "fits")
    assert run(*fit)[0] == 0
    paths = [tmp_path / "fits" / f"{name}.json" for name in ("one", "two")]
    code, out, _ = run("compare", *paths)
    assert (code, "one against two" in out, "after Holm's correction" in out) == (0, True, True)
    found = json.loads(run("compare", *paths, "--json")[1])
    saved = compare({path.stem: mousterian.Fit.load(path) for path in paths})
    assert [row["ratio"] for row in found["comparisons"]] == pytest.approx(saved["ratio"].tolist(), rel=1e-6)
    assert found["multiplicity"] == multiplicity(saved)
    code, _, err = run("compare", paths[0])
    assert (code, "two or more fits" in err) == (2, True)


def test_differences_are_paired_t_intervals(fits: dict[str, mousterian.Fit]) -> None:
    found = mousterian.compare(fits).set_index(["n_base", "n_syn_plus"])
    rows = two_arms()
    for (base, syn), row in found.iterrows():
        one, two = (
            rows[(rows["generator"] == name) & (rows["n_base"] == base) & (rows["n_syn_plus"] == syn)][
                "accuracy"
            ]
            for name in ("one", "two")
        )
        expected = ttest_rel(one.to_numpy(), two.to_numpy())
        interval = expected.confidence_interval()
        assert (row["trials"], row["freedom"]) == ("paired", 2)
        assert row["p"] == pytest.approx(expected.pvalue)
        assert (row["difference_low"], row["difference_high"]) == pytest.approx((interval.low, interval.high))


def test_without_common_seeds_differences_are_welchs() -> None:
    rows = two_arms()
    rows.loc[rows["generator"] == "two", "training_seed"] += 10
    made = mousterian.fit_arms(rows, surface="effective_data", bootstrap=50)
    found = mousterian.compare(made)
    assert set(found["trials"]) == {"unpaired"}
    assert set(found["draws"]) == {"unpaired"}
    first = found.iloc[0]
    cell = rows[(rows["n_base"] == 500) & (rows["n_syn_plus"] == 500)]
    one, two = (cell.loc[cell["generator"] == name, "accuracy"] for name in ("one", "two"))
    expected = ttest_ind(one, two, equal_var=False)
    assert (first["p"], first["freedom"]) == pytest.approx((expected.pvalue, expected.df))


def test_paired_ratios_hold_the_truth_and_are_narrower(fits: dict[str, mousterian.Fit]) -> None:
    covered = []
    for seed in range(6):
        made = mousterian.fit_arms(two_arms(seed), surface="effective_data", bootstrap=100)
        found = mousterian.compare(made)
        assert set(found["draws"]) == {"paired"}
        covered.append(((found["ratio_low"] < 2.5) & (found["ratio_high"] > 2.5)).mean())
    assert np.mean(covered) > 0.7  # 0.94 of 40 tables; the nine answers of a table go together
    paired = mousterian.compare(fits)
    more = mousterian.fit_arms(two_arms(), surface="effective_data", bootstrap=201)
    apart = mousterian.compare({"one": fits["one"], "two": more["two"]})
    assert set(apart["draws"]) == {"unpaired"}
    widths = [np.log(each["ratio_high"] / each["ratio_low"]).mean() for each in (paired, apart)]
    assert widths[0] < widths[1]


def test_holm_is_step_down_and_skips_what_was_not_tested() -> None:
    # By hand: 4·0.01, 3·0.02, then 2·0.03 = 0.06 and 0.5.
    adjusted = holm(np.array([0.03, 0.01, np.nan, 0.02, 0.5]))
    np.testing.assert_allclose(adjusted, [0.06, 0.04, np.nan, 0.06, 0.5])
    assert holm(np.array([0.9, 0.8]))[0] == 1.0


def test_arms_without_a_common_mixture_or_name_are_refused(fits: dict[str, mousterian.Fit]) -> None:
    with pytest.raises(InputError, match="two or more fits, each with a name of its own"):
        mousterian.compare([fits["one"], fits["one"]])
    rows = two_arms().query("generator != 'two'")
    moved = rows.assign(n_syn_plus=rows["n_syn_plus"] * 3 // 2)
    elsewhere = mousterian.fit(moved, surface="effective_data", bootstrap=20)
    with pytest.raises(InputError, match="no mixture with synthetic images was measured in two of"):
        mousterian.compare({"one": fits["one"], "elsewhere": elsewhere})


def test_the_page_of_several_arms_has_the_comparison(fits: dict[str, mousterian.Fit]) -> None:
    shown = contents(tuple(fits.values()))
    table = shown["comparison"]["differences"]
    assert [row[1:3] for row in table.rows] == [
        ("500", "2,500 synthetic"), ("1,000", "5,000 synthetic"), ("2,000", "10,000 synthetic")
    ]  # fmt: skip
    assert "after Holm's correction" in table.caption
    assert "one against two" in render(shown)
    assert contents((fits["one"],))["comparison"] is None
