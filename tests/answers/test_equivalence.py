"""The Python API: fit -> equivalence, formula, ratio, and the saved fit."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mousterian
from mousterian.answers.improvement_ratio import from_trials
from mousterian.errors import InputError
from mousterian.fitting import surface as surfaces
from mousterian.fitting.arms import arms
from mousterian.fitting.model_average import bracket
from mousterian.fitting.surface import Points

BASES = (100.0, 200.0, 400.0, 800.0)
EFFECTIVE = {"a": 0.98, "b": 1.6, "kappa": 0.5, "gamma": 0.8, "delta": 0.4}
LOGLINEAR = {"a": 0.2, "b": 0.06, "alpha": 0.09, "beta": 0.04, "c": 0.6, "log_g": 0.001}


def grid(bases: tuple[float, ...] = BASES) -> Points:
    cells = [(n, 0.0, r * n) for n in bases for r in (0, 0.5, 1, 2, 4, 8)]
    cells += [(n, r * n, 0.0) for n in bases for r in (0.5, 1, 2)]
    return Points.of(*np.array(cells).T)


def simulate(name: str, parameters: dict[str, float], noise: float = 0.0, seeds: int = 1) -> pd.DataFrame:
    surface, points = surfaces.load(name), grid()
    theta = np.array([parameters[p] for p in surface.parameters])
    rng = np.random.default_rng(1)
    frames = [
        pd.DataFrame(
            {
                "n_base": points.n_base,
                "n_real_plus": points.n_real_plus,
                "n_syn_plus": points.n_syn_plus,
                "accuracy": surface.accuracy(points, theta) + noise * rng.standard_normal(points.n_base.size),
                "training_seed": seed,
                "subset_seed": 0,
            }
        )
        for seed in range(seeds)
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def noisy() -> mousterian.Fit:
    return mousterian.fit(simulate("effective_data", EFFECTIVE, 0.004, 3), bootstrap=200)


def test_loglinear_gives_the_papers_formula_exactly() -> None:
    fit = mousterian.fit(simulate("loglinear", LOGLINEAR, 1e-6), surface="loglinear", bootstrap=50)
    formula = fit.formula()
    assert formula is not None
    assert formula.rms_log_error < 1e-9
    assert formula.c.estimate == pytest.approx(0.6, rel=1e-3)
    assert formula.log_g_per_image.estimate == pytest.approx(0.001, rel=1e-3)
    assert formula.log_h_per_r_real.estimate == pytest.approx(0.09 / 0.04, rel=1e-3)
    asked = fit.equivalence(n_base=300, n_real_plus=150).n_syn_plus
    assert formula(300, 150) == pytest.approx(asked.estimate, rel=1e-6)


def test_equivalence_covers_the_truth_and_grows_with_real_images(noisy: mousterian.Fit) -> None:
    answers = [noisy.equivalence(n_base=400, n_real_plus=m) for m in (40, 100, 200)]
    estimates = [answer.n_syn_plus.estimate for answer in answers]
    assert estimates == sorted(estimates)
    truth = [(m / 0.5) ** (1 / 0.8) for m in (40, 100, 200)]
    for answer, true in zip(answers, truth, strict=True):
        assert answer.n_syn_plus.low < true < answer.n_syn_plus.high
        assert answer.trust == "inside"


def test_both_directions_agree(noisy: mousterian.Fit) -> None:
    forward = noisy.equivalence(n_base=400, n_real_plus=200)
    back = noisy.equivalence(n_base=400, n_syn_plus=forward.n_syn_plus.estimate)
    assert back.n_real_plus.estimate == pytest.approx(200, rel=1e-6)
    assert back.accuracy.estimate == pytest.approx(forward.accuracy.estimate, abs=1e-9)


def test_an_unreachable_equivalence_is_reported_as_such() -> None:
    useless = simulate("effective_data", {**EFFECTIVE, "kappa": 1e-9, "gamma": 0.5}, 0.002, 2)
    answer = mousterian.fit(useless, bootstrap=100).equivalence(n_base=200, n_real_plus=400)
    assert not answer.reachable
    assert answer.n_syn_plus is None
    assert answer.saturation_accuracy < answer.accuracy.estimate
    assert answer.trust == "near"


def test_an_extrapolated_answer_is_marked(noisy: mousterian.Fit) -> None:
    assert noisy.equivalence(n_base=8000, n_real_plus=4000).trust == "extrapolated"


def test_an_unbounded_surface_is_clipped_to_full_accuracy() -> None:
    """Linear in r_real, the papers' formula is far above 1 at a hundred times the data."""
    fit = mousterian.fit(simulate("loglinear", LOGLINEAR, noise=0.002, seeds=2), bootstrap=100)
    assert fit.averaged.extrapolation is not None
    names = [surface.name for surface in fit.averaged.extrapolation.surfaces]
    theta = fit.averaged.extrapolation.thetas[names.index("loglinear")]
    far, near = Points.of([100.0], 80_000.0), Points.of([100.0], 700.0)
    assert surfaces.load("loglinear").accuracy(far, theta)[0] > 10
    assert fit.averaged.extrapolation.gain(far, near)[0] < 1


def test_closed_form_and_bracketing_agree() -> None:
    for name, parameters in (("effective_data", EFFECTIVE), ("loglinear", LOGLINEAR)):
        surface = surfaces.load(name)
        theta = np.array([parameters[p] for p in surface.parameters])
        n_base, real = np.array([150.0, 500.0]), np.array([100.0, 300.0])
        found = bracket(
            lambda n, s=surface, b=n_base, t=theta: s.accuracy(Points.of(b, 0.0, n), t),
            surface.accuracy(Points.of(n_base, real), theta),
            1e6,
        )
        np.testing.assert_allclose(found, surface.equivalent(n_base, real, theta), rtol=1e-8)


def test_order_of_rows_and_repeated_trials_change_nothing() -> None:
    table = simulate("effective_data", EFFECTIVE, 0.004, 2)
    first = mousterian.fit(table, bootstrap=50).to_json()
    shuffled = mousterian.fit(table.sample(frac=1, random_state=3), bootstrap=50).to_json()
    assert shuffled == first
    repeated = mousterian.fit(pd.concat([table, table.iloc[:3]]), bootstrap=50)
    assert any("repeat a trial" in warning for warning in repeated.warnings)
    assert repeated.to_json()["draws"] == first["draws"]


def test_a_saved_fit_answers_as_the_fresh_one(noisy: mousterian.Fit, tmp_path: Path) -> None:
    noisy.save(tmp_path / "fit.json")
    loaded = mousterian.Fit.load(tmp_path / "fit.json")
    asked = {"n_base": 250, "n_real_plus": 120}
    assert loaded.equivalence(**asked) == noisy.equivalence(**asked)
    assert loaded.marginal_rate(n_base=250) == noisy.marginal_rate(n_base=250)
    assert loaded.formula() == noisy.formula()
    pd.testing.assert_frame_equal(loaded.ratio(), noisy.ratio())
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "fit.json").read_bytes()
    assert (tmp_path / "fit.json").stat().st_size < 300_000
    json.loads((tmp_path / "fit.json").read_text())


def test_a_file_that_is_not_a_fit_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"format": "other"}')
    with pytest.raises(InputError, match="not a saved fit"):
        mousterian.Fit.load(tmp_path / "x.json")
    # What `mousterian fit --json` prints is a list of fits.
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(InputError, match=r"x\.json: this is not a saved fit"):
        mousterian.Fit.load(tmp_path / "x.json")
    with pytest.raises(InputError, match=r"gone\.json"):
        mousterian.Fit.load(tmp_path / "gone.json")


def test_a_fit_of_another_formula_is_refused(noisy: mousterian.Fit, tmp_path: Path) -> None:
    saved = noisy.to_json()
    for each in saved["surfaces"]:
        each["parameters"] = {f"old_{name}": value for name, value in each["parameters"].items()}
    (tmp_path / "old.json").write_text(json.dumps(saved))
    with pytest.raises(InputError, match="fit the table again"):
        mousterian.Fit.load(tmp_path / "old.json")


def test_marginal_rate_is_the_slope_of_the_equivalence(noisy: mousterian.Fit) -> None:
    here = noisy.equivalence(n_base=400, n_real_plus=200).n_syn_plus.estimate
    rate = noisy.marginal_rate(n_base=400, n_syn_plus=here)
    slope = here * (1 / 0.8) / 200
    assert rate.low < rate.estimate < rate.high
    assert rate.low < slope < rate.high * 1.5


def test_ratio_from_trials_is_equation_3(noisy: mousterian.Fit) -> None:
    table = noisy.ratio()
    trials = table[table["source"] == "trials"].set_index(["n_base", "r"])
    rows = noisy.data.groupby(["n_base", "n_real_plus", "n_syn_plus"])["accuracy"].mean()
    expected = (rows[400, 0, 400] - rows[400, 0, 0]) / (rows[400, 400, 0] - rows[400, 0, 0])
    found = trials.loc[(400.0, 1.0)]
    assert found["ratio"] == pytest.approx(expected)
    assert found["low"] < expected < found["high"]
    drawn = table[table["source"] == "surface"].set_index(["n_base", "r"]).loc[(400.0, 1.0)]
    assert drawn["low"] < drawn["ratio"] < drawn["high"]
    assert math.isfinite(drawn["high"])


def test_unpaired_ratios_of_two_trials_a_cell_cover_the_truth() -> None:
    rng, covered = np.random.default_rng(0), []
    cells = [(0, 0, 0.60), (0, 100, 0.66), (100, 0, 0.70)] * 2
    rows = pd.DataFrame(cells, columns=["n_real_plus", "n_syn_plus", "mean"]).assign(
        n_base=100.0, training_seed=np.nan, subset_seed=np.nan, outlier=False
    )
    for _ in range(200):
        drawn = rows.assign(accuracy=rows["mean"] + rng.normal(0, 0.01, 6))
        [found] = from_trials(drawn, np.full(6, np.nan))
        covered.append(found["low"] <= 0.6 <= found["high"])
    assert np.mean(covered) > 0.93  # 0.82 with quantiles of the normal distribution


def test_arms_share_the_rows_without_synthetic_images() -> None:
    frame = pd.DataFrame(
        {
            "dataset": "digits",
            "model": "small_cnn",
            "generator": ["", "", "edm", "edm", "ddpm"],
            "trained_on": ["", "", "base", "upstream", "base"],
            "n_base": 30,
            "n_real_plus": 0,
            "n_syn_plus": [0, 0, 30, 30, 30],
            "top1": [0.5, 0.6, 0.7, 0.8, 0.9],
            "status": ["done", "failed", "done", "done", "done"],
        }
    )
    found = arms(frame)
    assert sorted(found) == ["digits-ddpm-base", "digits-edm-base", "digits-edm-upstream"]
    labels, rows = found["digits-edm-upstream"]
    assert labels["dataset"] == "digits"
    assert rows["top1"].tolist() == [0.5, 0.8]


DUPLICATES = {"name": "duplicates", "distance": 3}
LONG = "images/of/one/name/in/folders/that/part/far/up"


@pytest.mark.parametrize(
    ("options", "suffixes"),
    [
        ([{"steps": 1}, {"steps": 2}], ["-steps=1", "-steps=2"]),
        # The first option distinguishes all arms, so the second, which varies with it, is left out.
        ([{"steps": s, "zoom": s // 3} for s in (1, 2, 3)], ["-steps=1", "-steps=2", "-steps=3"]),
        ([{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}], ["-a=1-b=1", "-a=1-b=2", "-a=2-b=2"]),
        ([{}, {"filter": [DUPLICATES]}], ["", "-filter=duplicates"]),
        (
            [{"filter": [{**DUPLICATES, "distance": d}]} for d in (3, 5)],
            ["-duplicates.distance=3", "-duplicates.distance=5"],
        ),
        ([{"path": "my images/a"}, {"path": "my images/b"}], ["-path=my_images_a", "-path=my_images_b"]),
        # No short option distinguishes these.
        ([{"path": f"a/{LONG}"}, {"path": f"b/{LONG}"}], ["", "-#2"]),
    ],
)
def test_arms_that_differ_only_in_options_are_named_by_these(
    options: list[dict], suffixes: list[str]
) -> None:
    counts = {"n_base": 30, "n_real_plus": 0, "n_syn_plus": 30, "top1": 0.5}
    source = {"dataset": "digits", "generator": "edm", "trained_on": "base"}
    rows = [{**counts, **source, "generator_options": json.dumps({"flip": True, **each})} for each in options]
    found = arms(pd.DataFrame([*rows, {**rows[0], "generator": "ddpm"}]))
    named = [f"digits-edm-base{each}" for each in suffixes]
    assert sorted(found) == sorted(["digits-ddpm-base", *named])
    for name, row in zip(named, rows, strict=True):
        labels, members = found[name]
        assert labels["generator_options"] == row["generator_options"] and len(members) == 1


def test_options_that_are_not_json_distinguish_arms_as_text() -> None:
    counts = {"n_base": 30, "n_real_plus": 0, "n_syn_plus": 0, "top1": 0.5}
    rows = [{**counts, "model_options": text} for text in ("wide net", "narrow net")]
    assert sorted(arms(pd.DataFrame(rows))) == ["all-options=narrow_net", "all-options=wide_net"]
