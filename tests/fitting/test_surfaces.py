"""Every surface: zero counts, derivatives, closed forms, and recovery of simulated parameters."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mousterian.errors import InputError
from mousterian.fitting import surface as surfaces
from mousterian.fitting.least_squares import minimise
from mousterian.fitting.model_average import bracket
from mousterian.fitting.surface import Array, Points, Surface
from mousterian.plugins import registry
from mousterian.plugins import source as plugin_source

NAMES = surfaces.names()
# A plausible truth of each surface on bases of a hundred to a thousand images, by parameter.
TRUTH: dict[str, dict[str, float]] = {
    "additive": {"a": 0.98, "b": 2.0, "delta": 0.5, "d": 0.15, "s": 100, "eta": 0.8},
    "complementary": {"a": 0.95, "n_half": 60, "kappa": 0.5, "gamma": 0.8, "delta": 0.8, "p": 0.6},
    "effective_data": {"a": 0.98, "b": 1.6, "kappa": 0.5, "gamma": 0.8, "delta": 0.4},
    "effective_data_bounded": {"a": 0.95, "n_half": 60, "kappa": 0.5, "gamma": 0.8, "delta": 0.8},
    "effective_data_ceiling": {"a": 0.97, "b": 2.0, "kappa": 300, "s": 500, "delta": 0.4},
    "effective_data_sigmoid": {
        "a": 0.95, "phi": 0.105, "n_half": 90, "kappa": 0.5, "gamma": 0.8, "delta": 1.1,
    },
    "harmful": {"a": 0.98, "b": 1.6, "kappa": 0.5, "gamma": 0.8, "delta": 0.4, "d": 0.01},
    "harmful_bounded": {"a": 0.98, "b": 1.6, "kappa": 0.5, "gamma": 0.8, "delta": 0.4, "d": 0.04},
    "loglinear": {"a": 0.2, "b": 0.06, "alpha": 0.09, "beta": 0.04, "c": 0.6, "log_g": 0.001},
    "loglinear_saturating": {
        "a": 0.9, "b": 0.5, "tau": 400, "alpha": 0.2, "beta": 0.09, "c": 0.6, "log_g": 0.001,
    },
    "monotone": {
        "a": 0.1, "w1": 0.5, "u1": 1, "v1": 0.5, "s1": 100, "t1": 5,
        "w2": 0.3, "u2": 1.5, "v2": 0.6, "s2": 200, "t2": 9,
    },
    "multiplicative": {"a": 0.98, "b": 2.0, "delta": 0.4, "s": 50, "eta": 0.25},
}  # fmt: skip


def theta(surface: Surface) -> Array:
    # A surface without true values here: its first starting values.
    truth = TRUTH.get(surface.name)
    if truth is None:
        points = grid()
        return surface.bounded(
            surface.starts(points, np.linspace(0.4, 0.9, points.n_base.size), np.ones(1), 1)
        )[0]
    return np.array([truth[name] for name in surface.parameters])


def grid() -> Points:
    bases = (100.0, 200.0, 400.0, 800.0)
    cells = [(n, 0.0, r * n) for n in bases for r in (0, 0.5, 1, 2, 4, 8, 16)]
    cells += [(n, r * n, 0.0) for n in bases for r in (0.5, 1, 2, 4)]
    return Points.of(*np.array(cells).T)


@pytest.fixture(params=NAMES)
def surface(request: pytest.FixtureRequest) -> Surface:
    return surfaces.load(request.param)


def test_zero_counts_are_ordinary(surface: Surface) -> None:
    points = Points.of([0.0, 0, 5, 5, 0, 1e6], [0.0, 7, 0, 0, 0, 1e6], [9.0, 0, 0, 3, 1e7, 0])
    assert np.isfinite(surface.accuracy(points, theta(surface))).all()
    assert np.isfinite(surface.gradient(points, theta(surface)[None])).all()


def test_gradient_is_the_derivative(surface: Surface) -> None:
    points, at = grid(), theta(surface)
    found = surface.gradient(points, at[None])[0]
    for i, step in enumerate(np.diag(1e-6 * np.maximum(np.abs(at), 1e-3))):
        rise = surface.accuracy(points, at + step) - surface.accuracy(points, at - step)
        np.testing.assert_allclose(
            found[i], rise / (2 * step[i]), rtol=1e-4, atol=1e-8 + 1e-5 * abs(found[i]).max()
        )


def test_starts_lead_to_the_simulated_parameters(surface: Surface) -> None:
    points, at = grid(), theta(surface)
    accuracy = surface.accuracy(points, at)
    weights = np.ones(accuracy.size)
    starts = surface.starts(points, accuracy, weights, 8)
    found = minimise(surface.model(points), accuracy, weights, starts, iterations=400, tolerance=1e-15)
    best = surface.bounded(found.unknowns[np.argmin(found.loss)])
    assert found.loss.min() < 1e-16
    if not surface.nonparametric:
        np.testing.assert_allclose(best, at, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if surfaces.load(name).has_closed_form])
@given(
    n_base=st.floats(50, 1000),
    ratio=st.floats(0.01, 4),
    scale=st.lists(st.floats(0.6, 1.6), min_size=7, max_size=7),
)
@settings(max_examples=40, deadline=None)
def test_closed_form_is_where_the_accuracies_meet(
    name: str, n_base: float, ratio: float, scale: list[float]
) -> None:
    surface = surfaces.load(name)
    at = surface.bounded(surface.unbounded(theta(surface) * scale[: len(surface.parameters)]))
    base, real = np.array([n_base]), np.array([ratio * n_base])
    exact = surface.equivalent(base, real, at)
    target, limit = (surface.accuracy(Points.of(base, *added), at) for added in ((real,), (0.0, 1e9)))
    # Exactly at the most that synthetic images reach, rounding decides whether some number reaches it.
    assume(abs(limit[0] - target[0]) > 1e-14)
    found = bracket(lambda n: surface.accuracy(Points.of(base, 0.0, n), at), target, 1e9)
    if exact[0] < 1e8:
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6)
    elif not np.isfinite(exact[0]):
        assert not np.isfinite(found[0])


def test_equivalence_grows_with_real_images(surface: Surface) -> None:
    base, real = np.full(20, 300.0), np.linspace(0, 900, 20)
    at = theta(surface)
    found = bracket(
        lambda n: surface.accuracy(Points.of(base, 0.0, n), at),
        surface.accuracy(Points.of(base, real), at),
        1e7,
    )
    assert found[0] == 0
    reached = found[np.isfinite(found)]
    assert (np.diff(reached) > 0).all()
    assert np.isfinite(found[: len(reached)]).all()


def test_synthetic_images_can_harm() -> None:
    surface = surfaces.load("harmful")
    worse = TRUTH["harmful"] | {"kappa": 5.0, "gamma": 0.5, "d": 0.03}
    at = np.array([worse[name] for name in surface.parameters])
    accuracy = surface.accuracy(Points.of(100.0, 0.0, [0.0, 400.0, 1e5]), at)
    assert accuracy[1] > accuracy[0] > accuracy[2]


def test_harm_proportional_to_the_synthetic_share_is_bounded() -> None:
    surface = surfaces.load("harmful_bounded")
    worse = TRUTH["harmful_bounded"] | {"kappa": 0.5, "gamma": 0.5, "b": 0.0, "d": 0.1}
    at = np.array([worse[name] for name in surface.parameters])
    without, half, all_but = surface.accuracy(Points.of(100.0, 0.0, [0.0, 100.0, 1e9]), at)
    assert without - half == pytest.approx(0.05)
    assert without - all_but == pytest.approx(0.1, abs=1e-6)


def test_a_ceiling_is_never_exceeded() -> None:
    surface = surfaces.load("effective_data_ceiling")
    assert np.isinf(surface.equivalent(np.array([100.0]), np.array([301.0]), theta(surface)))[0]
    assert np.isfinite(surface.equivalent(np.array([100.0]), np.array([299.0]), theta(surface)))[0]


def test_bounds_hold_whatever_the_unknowns(surface: Surface) -> None:
    unknowns = np.random.default_rng(0).normal(0, 100, (50, len(surface.parameters)))
    found = surface.bounded(unknowns)
    assert ((found >= surface.bounds[:, 0]) & (found <= surface.bounds[:, 1])).all()
    inside = surface.unbounded(theta(surface))
    np.testing.assert_allclose(surface.bounded(inside), theta(surface), rtol=1e-9)


def test_parameters_are_the_keyword_only_arguments(surface: Surface) -> None:
    signature = inspect.signature(registry.find("surfaces", surface.name).load())
    keywords = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert tuple(keywords) == surface.parameters
    assert surface.latex


def test_a_surface_without_gradient_is_differentiated_by_complex_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    surface = surfaces.load("effective_data")
    by_hand = surface.gradient(grid(), theta(surface)[None])
    monkeypatch.setitem(surface.__dict__, "_gradient", None)
    np.testing.assert_allclose(
        surface.gradient(grid(), theta(surface)[None]), by_hand, rtol=1e-10, atol=1e-14
    )


def test_a_surface_that_lacks_a_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "half_surface.py").write_text(
        "BOUNDS = {'a': (0, 1)}\ndef accuracy(n_base, n_real_plus, n_syn_plus, *, a: float):\n    return a\n"
    )
    with pytest.raises(InputError, match="lacks LATEX, starts"):
        plugin_source.read("surfaces", "half", "half_surface", tmp_path / "half_surface.py")
