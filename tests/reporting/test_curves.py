"""A page's curves: their points are the fit's own, and their integers give the draws back."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import numpy as np
import pytest
import simulated

from mousterian.api import Fit, fit
from mousterian.fitting.surface import Points
from mousterian.reporting.curves import CELLS, curves

SIZE = 300_000


@pytest.fixture(scope="module")
def made() -> Fit:
    return fit(simulated.table(0.2), bootstrap=60)


def array(text: str, kind: str) -> Any:
    return np.frombuffer(base64.b64decode(text), dtype=kind).astype(float)


def accuracies(found: dict[str, Any]) -> tuple[Any, Any]:
    """Return the average's accuracies (B, C) and the draws' (D, B, C) as the page has them."""
    estimate, rows, columns = (array(found[name], "<f4") for name in ("estimate", "rows", "columns"))
    product = np.zeros((len(rows), len(columns)))
    for width, part in zip((4, 2, 1), found["components"], strict=True):
        steps = np.array(part["steps"])
        draws = array(part["draws"], f"<i{width}").reshape(len(steps), len(rows))
        points = array(part["points"], f"<i{width}").reshape(len(steps), len(columns))
        product += (draws.T * steps) @ points
    shape = (len(found["bases"]), -1)
    return estimate.reshape(shape), (estimate + rows[:, None] * columns * product).reshape(len(rows), *shape)


def test_measured_bases_and_ends_of_the_measured_range_are_points(made: Fit) -> None:
    found = curves(made, SIZE)
    assert [found["bases"][end] for end in found["ends"]] == [200, 800, 3200]
    assert 12 <= len(found["bases"]) <= 24
    estimate, draws = accuracies(found)
    real, alone = CELLS["real"][0], slice(0, 1)
    # 800 of 9,600 real images measured in all, and 6,400 synthetic ones on 800.
    points = Points.of(800, [0, 8800, 0], [0, 0, 6400])
    at = [0, real, sum(CELLS["real"]) + CELLS["synthetic"][0]]
    for stored, own in ((estimate, made.averaged.estimate(points)), (draws, made.averaged.drawn(points))):
        here = stored[..., found["ends"][1], :]
        values = np.concatenate([here[..., alone], here[..., alone] + here[..., at[1:]]], axis=-1)
        assert values == pytest.approx(own, abs=2e-5)


@pytest.mark.parametrize(("size", "most"), [(SIZE, 2e-5), (60_000, 1e-3)])
def test_draws_take_the_characters_they_may_and_err_the_less_the_more_these_are(
    made: Fit, size: int, most: float
) -> None:
    found = curves(made, size)
    assert len(json.dumps(found["components"])) < size + 5000
    _, draws = accuracies(found)
    alone = made.averaged.drawn(Points.of(found["bases"]))
    assert np.abs(draws[:, :, 0] - alone).max() < most


def test_trust_changes_where_the_fits_does(made: Fit) -> None:
    found = curves(made, SIZE)
    for (index, base), kind in itertools.product(enumerate(found["bases"]), CELLS):
        limit, inside, near = np.exp(found["reach"][kind][index])
        own = base if kind == "real" else 0.0
        for count, trusts in (
            (limit, ("inside",) * 2),
            (inside, ("inside", "near")),
            (near, ("near", "extrapolated")),
        ):
            for share, trust in zip((0.999, 1.001), trusts, strict=True):
                added = count * share - own
                assert made.measured.trust(base, *((added, 0) if kind == "real" else (0, added))) == trust
