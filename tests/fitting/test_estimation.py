"""Estimation: outliers, weights, variance components, model selection, extrapolation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import mousterian
from mousterian.answers.formula import Formula
from mousterian.answers.improvement_ratio import fieller
from mousterian.fitting import engine, published, selection, variance
from mousterian.fitting import surface as surfaces
from mousterian.fitting.measured_range import MeasuredRange
from mousterian.fitting.problem import Problem
from mousterian.fitting.profile_likelihood import unidentified_parameters
from mousterian.fitting.surface import Array, Points
from mousterian.fitting.table import COUNTS, Table, check

EVERY = tuple(surfaces.load(name) for name in surfaces.names())
TRUTH = np.array([0.98, 1.6, 0.5, 0.8, 0.4])


def cells() -> Array:
    bases = (100, 200, 400, 800)
    found = [(n, 0, r * n) for n in bases for r in (0, 0.5, 1, 2, 4, 8)]
    return np.array(found + [(n, r * n, 0) for n in bases for r in (0.5, 1, 2)], dtype=float)


def simulate(noise: float = 0.004, seeds: int = 3, subsets: int = 1, **effects: float) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    table = pd.DataFrame(cells(), columns=["n_base", "n_real_plus", "n_syn_plus"])
    mean = surfaces.load("effective_data").accuracy(Points(*cells().T), TRUTH)
    frames = []
    for subset in range(subsets):
        by_base = {n: rng.normal(0, effects.get("subset", 0.0)) for n in table["n_base"].unique()}
        for seed in range(seeds):
            by_seed = {n: rng.normal(0, effects.get("seed", 0.0)) for n in by_base}
            shown = mean + table["n_base"].map(by_base) + table["n_base"].map(by_seed)
            shown = shown + noise * rng.standard_normal(len(table))
            frames.append(table.assign(accuracy=shown, training_seed=seed, subset_seed=subset))
    return pd.concat(frames, ignore_index=True)


def test_gross_outliers_are_flagged_with_their_sign_and_do_not_bias_the_fit() -> None:
    table = simulate()
    clean = mousterian.fit(table, surface="effective_data", bootstrap=50)
    spoiled = table.copy()
    spoiled.loc[7, "accuracy"] += 0.15
    spoiled.loc[60, "accuracy"] -= 0.2
    fit = mousterian.fit(spoiled, surface="effective_data", bootstrap=50)
    assert sorted(round(z) > 0 for _, z, _ in fit.outliers) == [False, True]
    assert all("where the other rows predict" in reason for _, _, reason in fit.outliers)
    for name, value in clean.surfaces[0].parameters.items():
        assert value.low <= fit.surfaces[0].parameters[name].estimate <= value.high
    assert not clean.outliers


def test_noise_that_shrinks_with_size_is_no_outlier() -> None:
    rng = np.random.default_rng(3)
    table = pd.DataFrame([cell for cell in cells() for _ in range(4)], columns=COUNTS)
    real = table["n_base"] + table["n_real_plus"]
    table["accuracy"] = 0.95 - 2.0 * (real + 0.3 * table["n_syn_plus"]) ** -0.45
    noisy = table.assign(accuracy=table["accuracy"] + rng.normal(0, 0.04 * 100 / real))
    assert not mousterian.fit(noisy, surface="effective_data", bootstrap=20).outliers
    largest = int(real.idxmax())
    noisy.loc[largest, "accuracy"] -= 0.06  # 1.5 times the noise of the smallest sizes, 36 times its own
    [(row, z, _)] = mousterian.fit(noisy, surface="effective_data", bootstrap=20).outliers
    assert (row["n_base"], z < 0) == (800, True)


def test_heavy_tails_are_not_outliers() -> None:
    table = simulate()
    rows = np.random.default_rng(0).random(len(table)) < 0.2
    table.loc[rows, "accuracy"] -= 0.1
    assert not mousterian.fit(table, bootstrap=50).outliers


def test_weights_follow_the_test_set_and_the_given_ones() -> None:
    table = check(simulate().assign(total=200))
    small = variance.row_weights(table, np.zeros(len(table.rows)), np.ones(len(table.rows), dtype=bool), 5)
    order = np.argsort(table.accuracy)
    assert small[order[0]] < small[order[-1]]
    assert small.mean() == pytest.approx(1)
    # Where trials scatter far more than their test set explains, its size hardly matters.
    noisy = variance.row_weights(
        table, np.full(len(table.rows), 0.3), np.ones(len(table.rows), dtype=bool), 5
    )
    assert np.ptp(noisy) < 0.2 * np.ptp(small)
    doubled = check(simulate().assign(weight=np.where(np.arange(108) < 54, 1.0, 3.0)))
    given = variance.row_weights(doubled, np.zeros(108), np.ones(108, dtype=bool), 5)
    assert set(np.round(given, 6)) == {0.5, 1.5}


def test_variance_components_are_estimated() -> None:
    fit = mousterian.fit(simulate(0.003, seeds=4, subsets=6, seed=0.006, subset=0.012), bootstrap=50)
    found = fit.components
    assert found["trial"] == pytest.approx(0.003, rel=0.15)
    assert found["seed"] == pytest.approx(0.006, rel=0.35)
    assert found["subset"] == pytest.approx(0.012, rel=0.35)
    alone = mousterian.fit(simulate(0.003, seeds=4, subsets=6), bootstrap=50).components
    assert alone["seed"] < 0.001
    assert alone["subset"] < 0.001


def test_shared_effects_widen_accuracy_more_than_differences() -> None:
    """A lucky base set shifts all trials built on it: predictions suffer, equivalences hardly."""
    fits = [
        mousterian.fit(
            simulate(0.003, seeds=3, subsets=2, subset=subset), surface="effective_data", bootstrap=300
        )
        for subset in (0.0, 0.012)
    ]
    widths = [fit.predict(800).high - fit.predict(800).low for fit in fits]
    assert widths[1] > 1.5 * widths[0]


def test_test_set_noise_stands_in_where_rows_are_too_few_for_residuals() -> None:
    table = published.load("diversify/table-2-resnet50").rows
    known = mousterian.fit(table, surface="effective_data", bootstrap=200)
    unknown = mousterian.fit(table.drop(columns="total"), surface="effective_data", bootstrap=200)
    assert any("Too few rows" in warning for warning in known.warnings)
    assert known.components["test_set"] == pytest.approx(np.sqrt(0.23 / 50000), rel=0.1)
    assert np.isnan(unknown.components["test_set"])


def test_aicc_is_akaikes_with_its_correction() -> None:
    # n·ln(RSS/n) + 2k + 2k(k+1)/(n−k−1), with k = 3 parameters and the variance.
    expected = 20 * np.log(0.5 / 20) + 2 * 4 + 2 * 4 * 5 / (20 - 4 - 1)
    assert selection.aicc(0.5, 20, 3) == pytest.approx(expected)
    assert np.isinf(selection.aicc(0.5, 5, 3))


def test_the_surface_that_made_the_data_is_found() -> None:
    for name in ("additive", "loglinear", "multiplicative"):
        surface = surfaces.load(name)
        theta = {"additive": (0.98, 2, 0.5, 0.15, 100, 0.8), "loglinear": (0.2, 0.06, 0.09, 0.04, 0.6, 0.001),
                 "multiplicative": (0.98, 2, 0.4, 50, 0.25)}[name]  # fmt: skip
        table = simulate().assign(accuracy=0.0)
        points = Points(*table[["n_base", "n_real_plus", "n_syn_plus"]].to_numpy().T)
        noise = 0.004 * np.random.default_rng(2).standard_normal(len(table))
        table["accuracy"] = surface.accuracy(points, np.array(theta, dtype=float)) + noise
        fits, _, _ = engine.fit_all(EVERY, EVERY, check(table))
        assert fits[0].surface.name == name
        assert fits[0].weight > 0.9


def test_equal_surfaces_count_once() -> None:
    """Without synthetic images the power laws in effective data are one curve."""
    table = pd.DataFrame({"n_base": 20 * 2 ** np.arange(8), "n_real_plus": 0, "n_syn_plus": 0})
    rng = np.random.default_rng(0)
    table["accuracy"] = 0.95 - 1.5 * table["n_base"] ** -0.4 + 0.002 * rng.standard_normal(8)
    fit = mousterian.fit(table, bootstrap=50)
    same = ("effective_data", "effective_data_ceiling", "multiplicative", "additive", "harmful")
    assert sum(each.weight > 0 for each in fit.surfaces if each.name in same) == 1


def test_surfaces_that_agree_only_at_a_few_rows_all_count() -> None:
    cells = [(100, 0, 0), (100, 100, 0), (100, 0, 100), (100, 0, 400), (100, 0, 800)]
    rows = pd.DataFrame(cells, columns=["n_base", "n_real_plus", "n_syn_plus"])
    fit = mousterian.fit(rows.assign(accuracy=[0.7, 0.78, 0.73, 0.76, 0.765]), bootstrap=50)
    assert any("Too few rows" in warning for warning in fit.warnings)
    assert sum(each.weight > 0.05 for each in fit.surfaces) > 1


def test_variance_that_depends_on_size_is_estimated() -> None:
    rng, sizes = np.random.default_rng(0), (50, 100, 200, 400, 800, 1600)
    rows = pd.DataFrame([(n, 0, 0, seed) for n in sizes for seed in range(8)],
                        columns=["n_base", "n_real_plus", "n_syn_plus", "training_seed"])  # fmt: skip
    mean = 0.95 - 1.6 * rows["n_base"] ** -0.5
    uneven = check(rows.assign(accuracy=mean + rng.normal(0, 0.3 / rows["n_base"])))
    even = check(rows.assign(accuracy=mean + rng.normal(0, 0.005, len(rows))))
    keep = np.ones(len(rows), dtype=bool)
    weights = variance.row_weights(uneven, np.zeros(len(rows)), keep, 3)
    powers = np.polyfit(np.log(uneven.rows["n_base"]), np.log(weights), 1)
    assert powers[0] == pytest.approx(2.0, abs=0.4)
    assert np.ptp(variance.row_weights(even, np.zeros(len(rows)), keep, 3)) == 0


def test_held_out_cells_are_predicted_from_the_rest_alone() -> None:
    table = check(simulate())
    fits, whole, _ = engine.fit_all((surfaces.load("effective_data"),), EVERY, table)
    out = whole.each_cell()
    weights, targets = whole.without(out)
    fifth = out.toarray()[4]
    assert ((weights == 0).sum(axis=1) == 1).all()
    # Spoiling a cell does not change the problem without it.
    spoiled = dataclasses.replace(table, rows=table.rows.assign(accuracy=table.accuracy + 0.3 * fifth))
    spoiled_problem = Problem.of(spoiled, whole.row_weights, whole.keep)
    np.testing.assert_allclose(spoiled_problem.without(out)[1][4], targets[4], atol=1e-12)
    assert fits[0].cv_rmse == pytest.approx(0.004 / np.sqrt(3), rel=0.3)


def test_the_back_test_holds_out_the_largest_sizes() -> None:
    table = check(simulate(seeds=1))
    _, problem, _ = engine.fit_all((surfaces.load("effective_data"),), EVERY, table)
    held_out, distances = problem.backtest
    out, rows = held_out.toarray() > 0, table.rows
    real = rows["n_base"] + rows["n_real_plus"]
    assert real[out[0]].min() > real.max() / 2 >= real[~out[0]].max()
    assert (rows.loc[out[1], "n_syn_plus"] / rows.loc[out[1], "n_base"]).unique().tolist() == [8]
    np.testing.assert_allclose(distances, np.log(2))


def test_the_nonparametric_baseline_reveals_misspecification() -> None:
    table = simulate(0.001)
    step = 0.12 / (1 + np.exp(-8 * (np.log(table["n_base"] + table["n_real_plus"]) - np.log(420))))
    fit = mousterian.fit(table.assign(accuracy=table["accuracy"] - 0.1 + step), bootstrap=50)
    assert any("surfaces are misspecified" in warning for warning in fit.warnings)
    assert not any("misspecified" in warning for warning in mousterian.fit(simulate(), bootstrap=50).warnings)
    assert next(each for each in fit.surfaces if each.name == "monotone").weight == 0


def test_intervals_widen_past_the_data_and_hold_the_spread_over_surfaces() -> None:
    fit = mousterian.fit(simulate(), bootstrap=400)
    widths = np.array([(p := fit.predict(n)).high - p.low for n in (800, 2400, 4800, 9600, 40000)])
    assert (np.diff(widths[1:]) > 0).all()
    assert widths[3] > 4 * widths[0]
    # At the edge of the range nothing jumps.
    assert fit.predict(2401).estimate == pytest.approx(fit.predict(2400).estimate, abs=1e-4)
    one = mousterian.fit(simulate(), surface="effective_data", bootstrap=400)
    assert one.predict(40000).high - one.predict(40000).low < widths[-1]


def test_the_measured_range_distinguishes_inside_from_outside() -> None:
    range_ = MeasuredRange.of(simulate().assign(outlier=False))
    assert range_.trust(400, 400, 3200) == "inside"
    assert range_.trust(283, 0, 2200) == "inside"
    assert range_.trust(400, 400, 6000) == "near"
    assert range_.trust(400, 400, 60000) == "extrapolated"
    assert range_.trust(3000, 3000, 0) == "extrapolated"
    assert range_.trust(60, 10, 50) == "near"
    assert range_.trust(400, 400, np.inf) == "extrapolated"
    points = Points.of([5000.0, 10.0, 400.0], [0.0, 0.0, 9999.0], [1e6, 0.0, 10.0])
    inner = range_.nearest(points)
    assert all((part < 1e-9).all() for part in range_.distance(inner))


def test_profiles_show_which_parameters_are_identified() -> None:
    table = check(simulate())
    fits, problem, _ = engine.fit_all((surfaces.load("effective_data"),), EVERY, table)
    assert unidentified_parameters(fits[0], problem) == ()
    # With synthetic images at one amount only, kappa and gamma are confounded.
    rows = simulate()
    few = check(rows[rows["n_syn_plus"].isin([0, 400])])
    fits, problem, _ = engine.fit_all((surfaces.load("effective_data"),), EVERY, few)
    assert {"kappa", "gamma"} & set(unidentified_parameters(fits[0], problem))


def test_unidentified_parameters_are_reported() -> None:
    rows = simulate()
    fit = mousterian.fit(rows[rows["n_syn_plus"].isin([0, 400])], surface="effective_data", bootstrap=50)
    assert not fit.identified
    assert any("not identifiable" in warning and "confounded" in warning for warning in fit.warnings)
    assert mousterian.fit(rows, surface="effective_data", bootstrap=50).identified


def test_fieller_is_exact_where_it_can_be_checked() -> None:
    # A denominator known exactly: the interval is the numerator's, divided.
    low, high = fieller(np.array([2.0, 4.0]), np.array([[0.04, 0.0], [0.0, 0.0]]), 1.96)
    assert (low, high) == (pytest.approx((2 - 0.392) / 4), pytest.approx((2 + 0.392) / 4))
    # A denominator that may be zero: unbounded.
    assert fieller(np.array([2.0, 0.1]), np.eye(2), 1.96) == (-np.inf, np.inf)


def test_the_formula_projects_other_surfaces_with_its_error() -> None:
    formula = mousterian.fit(simulate(), bootstrap=100).formula()
    assert isinstance(formula, Formula)
    assert 0 < formula.rms_log_error < 0.5
    log_g, log_h, printed = formula.log_g_per_image, formula.log_h_per_r_real, formula.printed
    assert printed["g"] == pytest.approx(np.exp(log_g.estimate * printed["tau"]))
    assert printed["h"] == pytest.approx(np.exp(log_h.estimate * printed["k"]))
    low, high = formula.domain["n_base"]
    assert (low, high) == (100, 800)
    assert formula.mathml.startswith("<math")


def test_draws_are_reproducible() -> None:
    table = check(simulate())
    fits, problem, _ = engine.fit_all((surfaces.load("effective_data"),), EVERY, table)
    spread = variance.scatter(problem, fits[0])
    first, second = (engine.draw(fits[0], problem, spread, 20, 7) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert isinstance(table, Table)
