from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from functools import cache
from types import ModuleType

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Canvas

from mousterian.answers import numbers
from mousterian.answers.audit import audit_equation
from mousterian.answers.plan import cheapest_mix
from mousterian.api import Fit, fit
from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.reporting.axes import thinned
from mousterian.reporting.drawing import Figure, drawings, spots, to_svg
from mousterian.reporting.figures import (
    accuracy_curves,
    contour_map,
    equation_audit,
    equivalence_curve,
    improvement_ratio,
    isocost,
    residuals,
    surface_weights,
)
from mousterian.reporting.style import ROLES, SERIES

# Figures of a store's trials are in test_store_figures.py.
OF_A_STORE = {"per_class_gains", "pool_quality", "feature_subspace", "device_time"}
FIGURES = sorted(set(registry.available("figures")) - OF_A_STORE)
OPTIONS = {"equation_audit": {"against": "eq1"}}
SIZES = ["n_base", "n_real_plus", "n_syn_plus"]


def table(gain: float) -> pd.DataFrame:
    """Trials in which adding r synthetic images gains `gain`·ln(1 + r), and r real ones gain r."""
    rows = [
        (base, real * base, syn * base, seed, 0.03 * np.log(base) + 0.02 * (real + gain * np.log1p(syn)))
        for base in (50, 200)
        for seed in (0, 1)
        for real, syn in ((0, 0), (0.5, 0), (1, 0), (2, 0), (0, 1), (0, 4), (0, 16))
    ]
    found = pd.DataFrame(rows, columns=[*SIZES, "training_seed", "accuracy"])
    found["accuracy"] += 0.6 + np.random.default_rng(0).normal(0, 0.002, len(found))
    return found


@cache
def fitted(gain: float = 1.0, *, spoilt: bool = False, without_synthetic: bool = False) -> Fit:
    rows = table(gain)
    if spoilt:
        rows.loc[3, "accuracy"] = 0.99
    if without_synthetic:
        rows = rows[rows["n_syn_plus"] == 0]
    return fit(rows, surface="loglinear", bootstrap=40)


@cache
def weighted() -> Fit:
    return fit(table(1.0), bootstrap=40)


def draw(name: str) -> Figure:
    made = weighted() if name == "surface_weights" else fitted()
    return registry.find("figures", name).load()(made, **OPTIONS.get(name, {}))


@cache
def drawn(name: str) -> Figure:
    return draw(name)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_what_a_reader_needs(name: str) -> None:
    figure = drawn(name)
    assert ET.fromstring(figure.svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert figure.title
    assert not figure.title.endswith(".")
    assert figure.caption.endswith(".")
    assert figure.alt.endswith(".")
    assert re.search(r"\d", figure.alt), "an alternative text without a number states no finding"
    assert len(figure.data)


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_fit_gives_the_same_bytes_whatever_the_users_settings(name: str) -> None:
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 20, "svg.fonttype": "path"}):
        again = draw(name)
    assert again.svg == drawn(name).svg


@pytest.mark.parametrize("name", FIGURES)
def test_every_colour_has_a_role_so_that_a_page_can_change_it(name: str) -> None:
    inline = drawn(name).inline("x")
    assert set(re.findall(r"#[0-9a-f]{6}", drawn(name).svg)) <= set(ROLES.values())
    assert not re.findall(r"#[0-9a-f]{6}", inline)
    assert "var(--ink)" in inline


@pytest.mark.parametrize("name", FIGURES)
def test_two_figures_share_a_page_without_sharing_identifiers(name: str) -> None:
    one, two = drawn(name).inline("one"), drawn(name).inline("two")
    identifiers = re.findall(r' id="([^"]*)"', one)
    referred = set(re.findall(r"url\(#([^)]*)\)", one)) | set(re.findall(r'href="#([^"]*)"', one))
    assert referred == set(identifiers)
    assert len(identifiers) == len(set(identifiers))
    assert not set(identifiers) & set(re.findall(r' id="([^"]*)"', two))


@pytest.mark.parametrize("name", FIGURES)
def test_tooltips_lie_in_the_drawing_and_have_numbers(name: str) -> None:
    figure = drawn(name)
    width, height = (float(end) for end in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', figure.svg)[0])
    assert figure.spots
    for spot in figure.spots:
        assert 0 < spot.x < width
        assert 0 < spot.y < height
        assert re.search(r"\d", spot.text)
    assert figure.inline("x").count("<title>") == len(figure.spots)


def test_a_tooltip_lies_on_its_mark() -> None:
    canvas = Canvas(figsize=(4, 3), layout="constrained")
    axes = canvas.subplots()
    axes.plot([1, 3], [10, 20], marker="o", gid="line")
    axes.set_xlim(0, 4)
    svg = to_svg(canvas)
    first, last = spots(canvas, [(axes, 1, 10, "first"), (axes, 3, 20, "last"), (axes, 9, 10, "outside")])
    line = svg[svg.index('id="line"') :]
    marks = re.findall(r'<use xlink:href="#[^"]*" x="([\d.]+)" y="([\d.]+)"', line)[:2]
    assert [(float(x), float(y)) for x, y in marks] == [
        pytest.approx((spot.x, spot.y), abs=0.1) for spot in (first, last)
    ]


def test_surfaces_are_shown_with_weights_and_back_tests() -> None:
    data = drawn("surface_weights").data.set_index("surface")
    heaviest = weighted().surfaces[0]
    assert data.index[0] == heaviest.name
    assert data.loc[heaviest.name].to_list() == [
        heaviest.weight,
        heaviest.cv_rmse,
        *heaviest.extrapolation_error,
    ]
    with pytest.raises(InputError, match="no weights to show"):
        surface_weights.draw(fitted())


def test_residuals_are_the_fits_and_their_normal_order_has_the_same_spread() -> None:
    data = residuals.draw(fitted(spoilt=True)).data
    kept = data[~data["outlier"]]
    assert data["residual"].to_list() == fitted(spoilt=True).data["residual"].to_list()
    assert data["outlier"].sum() == 1
    assert data.loc[data["outlier"], "expected"].isna().all()
    assert kept["expected"].std() == pytest.approx(kept["residual"].std(), rel=0.15)
    assert kept.sort_values("expected")["residual"].is_monotonic_increasing


def test_mixtures_of_an_isocost_picture_reach_the_target_and_the_cheapest_is_marked() -> None:
    figure = isocost.draw(fitted(), n_base=200, target_accuracy=0.8, real_cost=1.0, syn_cost=0.1)
    found = fitted().predict(200, figure.data["n_real_plus"], figure.data["n_syn_plus"]).estimate
    assert found == pytest.approx(0.8, abs=1e-6)
    made = cheapest_mix(fitted(), n_base=200, target_accuracy=0.8, real_cost=1.0, syn_cost=0.1)
    assert numbers.counts(made.cost) in figure.alt
    with pytest.raises(InputError, match="no mixture at 200 base images reaches"):
        isocost.draw(fitted(0.01), n_base=200, target_accuracy=0.999)


def test_an_audit_takes_the_tables_own_equation_or_the_one_named() -> None:
    own = dataclasses.replace(fitted(), name="mousterian-table-3")
    assert "Eq. 1" in equation_audit.draw(own).title
    figure = equation_audit.draw(fitted(), against="eq2")
    assert "Eq. 2" in figure.title
    pd.testing.assert_frame_equal(figure.data, audit_equation(fitted(), "eq2"))
    with pytest.raises(InputError, match="name one with against=eq1"):
        equation_audit.draw(fitted())


def test_the_palette_is_seaborns_for_the_colour_blind() -> None:
    import seaborn

    assert set(SERIES) <= {colour.lower() for colour in seaborn.color_palette("colorblind").as_hex()}


def test_curves_show_means_over_seeds_and_their_spread() -> None:
    data = drawn("accuracy_curves").data
    trials = fitted().data
    cell = trials[(trials["n_base"] == 200) & (trials["n_real_plus"] == 0) & (trials["n_syn_plus"] == 800)]
    shown = data[(data["n_base"] == 200) & (data["added"] == "synthetic") & (data["images"] == 800)]
    shown = shown[shown["source"] == "trials"].iloc[0]
    assert shown["accuracy"] == pytest.approx(cell["accuracy"].mean())
    assert (shown["low"], shown["high"]) == (cell["accuracy"].min(), cell["accuracy"].max())
    assert shown["trials"] == 2


def test_an_outlier_is_marked_and_excluded_from_the_means() -> None:
    figure = accuracy_curves.draw(fitted(spoilt=True))
    odd = figure.data[figure.data["source"] == "outlier"]
    assert odd["accuracy"].to_list() == [0.99]
    assert figure.data.loc[figure.data["source"] == "trials", "high"].max() < 0.9
    assert "set aside" in figure.svg
    assert "set aside" not in drawn("accuracy_curves").svg


def test_the_maps_curve_pairs_additions_of_equal_accuracy() -> None:
    curve = drawn("contour_map").data.query("drawn == 'equivalence'")
    assert len(curve) > 5
    base = curve["n_base"].iloc[0]
    real = fitted().predict(base, curve["r_real"] * base, 0).estimate
    synthetic = fitted().predict(base, 0, curve["r_syn"] * base).estimate
    assert real == pytest.approx(synthetic, abs=1e-6)
    assert curve["accuracy"].to_numpy() == pytest.approx(real)


def test_the_map_takes_a_base_size_and_marks_what_was_measured_there() -> None:
    figure = contour_map.draw(fitted(), n_base=200)
    measured = figure.data.query("drawn == 'trials'")
    assert set(zip(measured["r_real"], measured["r_syn"], strict=True)) == {
        (0, 0), (0.5, 0), (1, 0), (2, 0), (0, 1), (0, 4), (0, 16)
    }  # fmt: skip
    assert "200 base images" in figure.title
    assert "50 base images" in drawn("contour_map").title


def test_unreachable_additions_are_marked_not_drawn() -> None:
    figure = equivalence_curve.draw(fitted(0.01))
    assert figure.data.loc[figure.data["n_real_plus"] == 400, "n_syn_plus"].isna().all()
    assert "not reachable" in figure.svg
    assert "Crosses mark" in figure.caption
    assert "not reachable" not in drawn("equivalence_curve").svg
    assert "is enough" in contour_map.draw(fitted(0.01), n_base=200).svg


def test_equivalences_drawn_are_the_fits_own() -> None:
    last = drawn("equivalence_curve").data.query("n_base == 200").iloc[-1]
    found = fitted().equivalence(n_base=200, n_real_plus=last["n_real_plus"]).n_syn_plus
    assert (last["n_syn_plus"], last["low"], last["high"]) == (found.estimate, found.low, found.high)


def test_side_by_side_an_arm_is_drawn_where_it_was_measured_and_paler_beyond_its_data() -> None:
    rows = table(0.3)
    narrow = fit(rows[rows["n_base"] == 200], surface="loglinear", bootstrap=40)
    with drawings() as canvases:
        figure = equivalence_curve.beside([("both", fitted()), ("one", narrow), ("low", fitted(0.3))])
    assert set(figure.data.query("n_base == 200")["arm"]) == {"both", "one", "low"}
    assert set(figure.data.query("n_base == 50")["arm"]) == {"both", "low"}
    [panel] = [axes for axes in canvases[-1].axes if "200" in axes.get_title(loc="left")]
    one = figure.data.query("n_base == 200 and arm == 'one'")
    assert {"inside"} < set(one["trust"])
    pale, full = [
        line for line in panel.lines if line.get_color() == SERIES[1] and line.get_linestyle() != "None"
    ]
    assert pale.get_alpha() < 1
    shown = np.isfinite(np.asarray(full.get_ydata(), dtype=float))
    assert (shown == (one.dropna(subset="n_syn_plus")["trust"] == "inside").to_numpy()).all()


def test_ratios_drawn_are_the_fits_own() -> None:
    pd.testing.assert_frame_equal(drawn("improvement_ratio").data, fitted().ratio().reset_index(drop=True))


@pytest.mark.parametrize("figure", [contour_map, equivalence_curve, improvement_ratio, isocost])
def test_without_synthetic_images_there_is_nothing_to_compare(figure: ModuleType) -> None:
    with pytest.raises(InputError, match="no trial adds synthetic images to a base"):
        figure.draw(fitted(without_synthetic=True))


def test_curves_of_real_images_alone_can_be_drawn() -> None:
    data = accuracy_curves.draw(fitted(without_synthetic=True)).data
    assert set(data["added"]) == {"nothing", "real"}


def test_tick_labels_never_touch_and_the_ends_stay() -> None:
    assert thinned([0, 10, 20, 100], [30, 30, 30, 30]) == [0, 3]
    assert thinned([0, 50, 55, 100], [10, 10, 10, 10]) == [0, 1, 3]
