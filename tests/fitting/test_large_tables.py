"""Large tables: memory grows with rows and cells, not with their products, and answers stay the same."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

import mousterian
from mousterian.answers.audit import audit_equation
from mousterian.answers.measured import MOST_LISTED
from mousterian.fitting import engine, least_squares, readings, variance
from mousterian.fitting import surface as surfaces
from mousterian.fitting.image_sampling import ImageSampling
from mousterian.fitting.population import Spread, _interaction
from mousterian.fitting.problem import Problem, stratified
from mousterian.fitting.table import COUNTS, check

SURFACE = surfaces.load("effective_data")


def distinct(count: int, noise: float = 0.004) -> pd.DataFrame:
    """Rows that are each a cell of its own: random bases, alone, with real and with synthetic images."""
    rng = np.random.default_rng(1)
    base, kind = np.repeat(rng.permutation(20_000)[: count // 3] + 100, 3), np.arange(count // 3 * 3) % 3
    added = base * 10 ** rng.uniform(-0.5, 0.5, len(base))
    counts = np.stack([base, added * (kind == 1), added * (kind == 2)], axis=1).astype(int)
    table = pd.DataFrame(counts, columns=COUNTS)
    effective = table["n_base"] + table["n_real_plus"] + 0.5 * table["n_syn_plus"] ** 0.95
    return table.assign(accuracy=0.98 - 1.6 * effective**-0.35 + rng.normal(0, noise, len(table)))


def peak(count: int) -> int:
    """Return the most memory that a fit holds at once, in bytes."""
    table = distinct(count)
    tracemalloc.start()
    mousterian.fit(table, surface=SURFACE.name, bootstrap=100)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_memory_is_linear_in_the_cells() -> None:
    """One array of cells × cells would have 128 MB at 4,000 of them, and grow sixteenfold."""
    peak(300)  # modules and plug-ins are loaded
    few, many = peak(1000), peak(4000)
    assert many < 4.5 * few
    assert many < 100e6


def test_draws_at_the_points_are_averages_of_the_rows_draws() -> None:
    """Own residuals, clusters and spreads, in blocks of draws, against the rows' accuracies drawn at once."""
    rng = np.random.default_rng(0)
    table = pd.concat([distinct(30).assign(subset_seed=s, training_seed=s % 2) for s in range(4)])
    # Without real additions a row of real images is read at several bases.
    checked = check(table[table["n_real_plus"] == 0])
    count, points = len(checked.rows), checked.points.n_base.size
    problem = Problem.of(checked, rng.uniform(0.5, 1.5, count), np.ones(count, dtype=bool))
    own, groups, tangent = rng.normal(size=count), np.arange(count) % 7, rng.normal(size=(3, count))
    spread = Spread(tangent, rng.normal(size=(3, 5)), 4.0)
    scatter = variance.Scatter(own, ((groups, 0.5, 6.0),), (spread,), variance.Components(0, 0, 0, 0))
    found = scatter.draws(problem, np.zeros(count), 6000, np.random.default_rng(3))

    stream = np.random.default_rng(3)
    drawn = own * (2.0 * stream.integers(0, 2, (6000, count)) - 1.0)
    size = np.sqrt(0.5 * 6.0 / stream.chisquare(6.0, 6000))[:, None]
    drawn += size * stream.standard_normal((6000, 7))[:, groups]
    size = np.sqrt(4.0 / stream.chisquare(4.0, 6000))[:, None]
    drawn += size * stream.standard_normal((6000, 5)) @ (tangent.T @ spread.pulls).T
    assert points < count < len(checked.row)
    np.testing.assert_allclose(found, drawn @ problem.averaging.toarray().T, atol=1e-12)
    # What test images are compared with is the covariance of these draws.
    basis = np.linalg.qr(rng.normal(size=(count, 2)))[0].T
    known = np.trace(scatter.covariance(basis, np.ones(count)))
    # Student's t has 1.5 and 2 times the variance here.
    assert known < np.trace(np.cov(basis @ drawn.T)) < 2 * known


def test_rows_of_one_cell_count_as_their_mean() -> None:
    """Trials reduced to the cells' means, weighted by their number, give the same surface."""
    rng = np.random.default_rng(2)
    cells = distinct(60, noise=0.0)
    rows = cells.loc[np.repeat(cells.index, rng.integers(1, 6, len(cells)))]
    rows = rows.assign(accuracy=rows["accuracy"] + rng.normal(0, 0.004, len(rows)))
    means = rows.groupby(list(COUNTS))["accuracy"].agg(["mean", "size"]).reset_index()
    means = means.rename(columns={"mean": "accuracy", "size": "weight"})
    whole, reduced = (
        Problem.of(table, table.rows["weight"].to_numpy(), np.ones(len(table.rows), dtype=bool))
        for table in (check(rows), check(means))
    )
    np.testing.assert_allclose(whole.target, reduced.target)
    np.testing.assert_allclose(whole.weights, reduced.weights)
    start = SURFACE.unbounded(np.array([[0.98, 1.6, 0.5, 0.8, 0.4]]))
    (first, loss), (second, of_means) = (
        engine.refit(SURFACE, each, start, 100, 1e-12) for each in (whole, reduced)
    )
    np.testing.assert_allclose(first, second, rtol=1e-6)
    assert loss > of_means
    assert reduced.pure_error == pytest.approx(0, abs=1e-20)


def test_samples_are_all_of_few_and_stratified_of_many() -> None:
    np.testing.assert_array_equal(stratified(200, 200), np.arange(200))
    found = stratified(20_000, 200)
    np.testing.assert_array_equal(found // 100, np.arange(200))
    assert len(set(stratified(900, 200))) == 200
    # In a grid of ten cells a base all kinds of cell are there.
    assert set(found % 10) == set(range(10))


def test_of_many_cells_some_are_held_out_one_at_a_time() -> None:
    table = check(pd.concat([distinct(900).assign(training_seed=s) for s in range(2)]))
    fits, problem, _ = engine.fit_all((SURFACE,), (SURFACE,), table)
    out = problem.each_cell().toarray()
    assert out.shape == (200, 1800)
    assert np.median(out.sum(axis=1)) == 2  # an outlier is held out of all of them
    assert out.sum(axis=0).max() == 1
    assert [len(set(table.cell[rows > 0])) for rows in out] == [1] * 200
    assert fits[0].cv_rmse == pytest.approx(0.004, rel=0.15)  # both seeds have the same noise


def test_searches_in_parts_find_what_one_search_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    table = check(distinct(30))
    targets = table.accuracy + np.random.default_rng(0).normal(0, 0.004, (50, len(table.rows)))
    start = np.repeat(SURFACE.unbounded(np.array([[0.97, 1.5, 0.4, 0.7, 0.3]])), 50, axis=0)
    held = np.zeros(start.shape, dtype=bool)
    held[::3, 2] = True
    model = SURFACE.model(table.points)
    found = []
    for block in (1 << 30, 400):
        monkeypatch.setattr(least_squares, "_BLOCK", block)
        found.append(least_squares.minimise(model, targets, np.ones(len(table.rows)), start, held=held))
    np.testing.assert_allclose(found[1].unknowns, found[0].unknowns, rtol=1e-9)
    np.testing.assert_array_equal(found[1].converged, found[0].converged)
    assert len(found[1].loss) == 50


def test_readings_do_not_grow_with_sizes_times_bases() -> None:
    table = distinct(3000)
    totals = table[table["n_real_plus"] == 0]
    points, row, at, share = readings.readings(totals)
    assert points.n_base.size < 25_000  # 1,000 sizes and as many bases: half a million
    np.testing.assert_allclose(np.bincount(row, share), 1)
    counts = np.stack(points.counts, axis=1)[at]
    real = totals[["n_base", "n_real_plus"]].sum(axis=1).to_numpy()
    np.testing.assert_array_equal(counts[:, :2].sum(axis=1), real[row])
    # Bases of the readings range over those with synthetic images.
    bases = counts[counts[:, 1] > 0, 0]
    assert len(set(bases)) == 19  # no base is larger than the twentieth
    assert bases.min() == totals["n_base"].min()


def test_the_interaction_is_that_of_the_table_of_pairs() -> None:
    rng = np.random.default_rng(0)
    subset, generator = rng.integers(0, 5, 80), rng.integers(0, 4, 80)
    basis, weighted = rng.normal(size=(3, 80)), rng.normal(size=(80, 2))
    pairs = np.zeros((5, 4, 3, 2))
    np.add.at(pairs, (subset, generator), basis.T[:, :, None] * weighted[:, None, :])
    rest = pairs - pairs.mean(axis=0) - pairs.mean(axis=1, keepdims=True) + pairs.mean(axis=(0, 1))
    expected = np.einsum("sgpk,sgqk->pq", rest, rest) / (4 * 3 / (5 * 4))
    np.testing.assert_allclose(_interaction(basis, weighted, subset, generator), expected)


def test_random_combinations_stand_for_the_images_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    correct = rng.random((60, 3000)) + 0.4 * rng.random(3000) > 0.6
    exact = ImageSampling.of(np.ones(60, dtype=bool), correct)
    monkeypatch.setattr("mousterian.fitting.image_sampling._MOST_EFFECTS", 59)
    rough = ImageSampling.of(np.ones(60, dtype=bool), correct)
    assert rough.root.shape == (60, 59)
    ones = np.ones(60) / 60
    shared, roughly = (float(((ones @ each.root) ** 2).sum()) for each in (exact, rough))
    assert roughly == pytest.approx(shared, rel=3 * np.sqrt(2 / 59))
    assert np.trace(rough.root @ rough.root.T) == pytest.approx(np.trace(exact.root @ exact.root.T), rel=0.1)


def test_reasons_name_rows_above_or_below_those_with_as_many_synthetic_images() -> None:
    table = distinct(60, noise=0.0005)
    order = table["n_base"].sort_values(kind="stable").index
    alone = [row for row in order if row % 3 == 0]
    largest, smallest = alone[-2], alone[1]
    table.loc[smallest, "accuracy"] = 0.99
    table.loc[largest, "accuracy"] = 0.5
    reasons = [reason for _, _, reason in mousterian.fit(table, surface=SURFACE.name, bootstrap=20).outliers]
    assert len(reasons) == 2
    assert "above every row with as many synthetic and more real images" in reasons[0]
    assert "below every row with as many synthetic and fewer real images" in reasons[1]


@pytest.fixture(scope="module")
def many_bases() -> mousterian.Fit:
    return mousterian.fit(distinct(300), surface=SURFACE.name, bootstrap=20)


def test_tables_of_many_bases_have_answers_at_some_of_them(many_bases: mousterian.Fit) -> None:
    ratios = many_bases.ratio().query("source == 'surface'")
    assert len(ratios) == MOST_LISTED**2
    assert ratios["n_base"].nunique() == MOST_LISTED
    bases = many_bases.data["n_base"]
    assert (ratios["n_base"].min(), ratios["n_base"].max()) == (bases.min(), bases.max())
    formula = many_bases.formula()
    assert formula is not None
    assert formula.domain["n_base"][1] == bases.max()
    audited = audit_equation(many_bases, "eq1")
    assert audited["n_base"].nunique() <= MOST_LISTED
    one = audited.iloc[3]
    alone = many_bases.equivalence(n_base=one["n_base"], n_syn_plus=one["n_syn_plus"])
    assert one["n_real_plus"] == alone.n_real_plus.estimate
