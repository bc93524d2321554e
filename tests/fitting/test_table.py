"""Tables are read and checked; errors name the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small_table import table

import mousterian
from mousterian.answers import wording
from mousterian.errors import InputError
from mousterian.fitting.table import check


def test_percent_is_detected_and_said() -> None:
    found = check(table(accuracy=[50.0, 60, 61, 62, 70, 71, 72, 75]))
    np.testing.assert_allclose(found.accuracy.max(), 0.75)
    assert any("percent" in warning for warning in found.warnings)
    assert not any("percent" in warning for warning in check(table()).warnings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accuracy": ["0.5", "x", "y", "0.6", "0.7", "0.7", "0.7", "0.8"]}, "in rows 2, 3: 'x', 'y'"),
        ({"accuracy": [0.5, -0.1, 0.6, 0.6, 0.7, 0.7, 0.7, 0.8]}, "accuracy is negative in row 2"),
        ({"accuracy": [0.5, 1.2, 0.6, 0.6, 0.7, 0.7, 0.7, 0.8]}, "accuracy is above 1 in row 2"),
        ({"accuracy": [50.0, 120, 60, 60, 70, 70, 70, 80]}, "above 100 % in row 2"),
        ({"n_base": [100, -100, 100, 200, 200, 200, 400, 400]}, "n_base is negative in row 2"),
        ({"n_base": [0, 100, 100, 200, 200, 200, 400, 400]}, "no training images at all in row 1"),
        ({"n_syn_plus": [0, np.inf, 0, 0, 800, 0, 0, 400]}, "n_syn_plus is not a number in row 2"),
        ({"total": [0, 9, 9, 9, 9, 9, 9, 9]}, r"total \(test images\) is below 1 in row 1"),
        ({"weight": [1, -1, 1, 1, 1, 1, 1, 1]}, "weight is negative or missing in row 2"),
    ],
)
def test_bad_values_are_named_with_their_rows(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(table(**changes))


def test_a_constant_accuracy_is_said_and_still_predicted() -> None:
    cells = [(n, 0, r * n) for n in (100, 200, 400) for r in (0, 1, 4)]
    rows = pd.DataFrame(cells, columns=["n_base", "n_real_plus", "n_syn_plus"]).assign(accuracy=0.8)
    fit = mousterian.fit(rows, bootstrap=100)
    assert any("the same in every row" in warning for warning in fit.warnings)
    with pytest.raises(InputError, match="neither real nor synthetic images gain anything") as caught:
        fit.equivalence(n_base=200, n_real_plus=100)
    assert "harder" in caught.value.hint
    assert fit.formula() is None
    assert fit.ratio().empty
    inside, beyond = fit.predict(200), fit.predict(6400)
    assert inside.estimate == pytest.approx(0.8, abs=1e-4)
    assert beyond.high - beyond.low > inside.high - inside.low


def test_missing_columns_are_named_with_what_looks_like_them() -> None:
    with pytest.raises(InputError, match="no column n_syn_plus") as caught:
        check(table().rename(columns={"n_syn_plus": "n_syn_pluss"}))
    assert "'n_syn_pluss' looks like 'n_syn_plus'" in caught.value.hint
    assert "--column n_syn_plus=n_syn_pluss" in caught.value.hint


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(InputError, match="too few rows: 3"):
        check(table().head(3))


def test_contradictory_trials_are_named_and_kept() -> None:
    seeded = pd.concat([table(), table().head(1).assign(accuracy=0.55)]).assign(seed=0)
    found = check(seeded)
    assert any("Rows 1, 9 contradict each other" in warning for warning in found.warnings)
    assert len(found.rows) == 9


def test_rows_of_other_generators_are_other_trials() -> None:
    rows = table().assign(seed=0, subset_seed=0)
    both = pd.concat([rows.assign(generator_seed=seed) for seed in (0, 1)])
    found = check(both)
    # Rows of real images alone have no generator: the second copies repeat them.
    alone = int((rows["n_syn_plus"] == 0).sum())
    assert len(found.rows) == 2 * len(rows) - alone
    assert "repeat a trial" in found.warnings[0] and not any("contradict" in each for each in found.warnings)
    assert found.rows["generator_seed"].isna().sum() == alone


def test_replicates_without_seeds_are_ordinary() -> None:
    found = check(pd.concat([table(), table().head(2).assign(accuracy=[0.51, 0.59])]))
    assert len(found.rows) == 10
    assert found.warnings == check(table()).warnings


def test_equal_rows_without_seeds_are_named_and_kept() -> None:
    found = check(pd.concat([table(), table().head(2)], ignore_index=True))
    assert len(found.rows) == 10
    said = found.warnings[0]
    assert said.startswith("Rows 1, 2, 9, 10 equal one another and have no seeds")
    repeated = check(pd.concat([table(), table().head(2)], ignore_index=True).assign(seed=range(10)))
    assert not repeated.warnings


def test_one_mixture_under_two_names_is_named_and_no_contradiction() -> None:
    rows = table()  # has 100 + 100 and 200 + 0, 200 + 200 and 400 + 0
    [said] = check(rows.assign(seed=0)).warnings
    assert said.startswith("Mixtures under several names")
    assert "200 + 0 = 100 + 100, 400 + 0 = 200 + 200" in said
    assert "contradict" not in said
    assert not check(rows.assign(seed=range(8))).warnings


def test_few_rows_have_an_interval_only_where_noise_is_known() -> None:
    cells = [(1000, 0, 0, 0.60), (1000, 1000, 0, 0.70), (1000, 0, 1000, 0.65), (1000, 0, 4000, 0.72)]
    rows = pd.DataFrame(cells, columns=["n_base", "n_real_plus", "n_syn_plus", "accuracy"])
    bare = mousterian.fit(rows, bootstrap=100)
    counted = mousterian.fit(rows.assign(total=1000), bootstrap=100)
    asked = {"n_base": 1000, "n_real_plus": 1000}
    for fit in (bare, mousterian.Fit.from_json(bare.to_json())):
        answer = fit.equivalence(**asked).n_syn_plus
        assert answer.estimate == pytest.approx(counted.equivalence(**asked).n_syn_plus.estimate)
        assert np.isnan([answer.low, answer.high, fit.predict(1000, 500).low]).all()
        assert "(no interval)" in wording.answer(fit, 1000, 1000).text
    assert any("Add a column `total`" in warning for warning in bare.warnings)
    known = counted.equivalence(**asked).n_syn_plus
    assert known.high / known.low > 1.5
    repeated = pd.concat([rows, rows.assign(accuracy=rows["accuracy"] + 0.01)])
    again = mousterian.fit(repeated, bootstrap=100).equivalence(**asked).n_syn_plus
    assert again.low < again.estimate < again.high


def test_store_columns_and_seed_are_understood() -> None:
    found = check(table().rename(columns={"accuracy": "top1"}).assign(seed=3, total=500))
    assert found.rows["training_seed"].eq(3).all()


def test_one_base_and_no_synthetic_data_are_said_and_still_answered() -> None:
    one = table().assign(n_base=100, n_real_plus=[0, 0, 100, 200, 0, 300, 400, 0])
    fit = mousterian.fit(one, bootstrap=50)
    assert any("Only one base size" in warning for warning in fit.warnings)
    real = table().assign(n_syn_plus=0, n_real_plus=[0, 50, 100, 0, 70, 200, 0, 40])
    fit = mousterian.fit(real, bootstrap=50)
    assert any("No row has synthetic images" in warning for warning in fit.warnings)
    assert 0 < fit.predict(300).estimate < 1
    assert fit.formula() is None


def test_text_for_a_seed_is_refused_and_a_missing_one_is_not() -> None:
    with pytest.raises(InputError, match="seed is not a number in row 2: 'b'"):
        check(table(seed=["0", "b", "0", "0", "0", "0", "0", "0"]))
    assert check(table(seed=[0, np.nan, 0, 0, 0, 0, 0, 0])).rows["training_seed"].isna().sum() == 1


def test_a_percentage_among_fractions_is_refused() -> None:
    with pytest.raises(InputError, match="above 1, where most rows are fractions, in row 8"):
        check(table(accuracy=[0.5, 0.6, 0.61, 0.62, 0.7, 0.71, 0.72, 75]))
