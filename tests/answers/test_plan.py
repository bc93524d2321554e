"""The cheapest mixture for a target, and the most informative trials."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import mousterian
from mousterian.answers.plan import cheapest_mix
from mousterian.answers.suggestion import suggest
from mousterian.errors import InputError

KAPPA, GAMMA = 0.5, 0.8


@pytest.fixture(scope="module")
def fit() -> mousterian.Fit:
    rng = np.random.default_rng(0)
    cells = [(n, 0, r * n) for n in (100, 200, 400, 800) for r in (0, 0.5, 1, 2, 4, 8)]
    cells += [(n, r * n, 0) for n in (100, 200, 400, 800) for r in (0.5, 1, 2)]
    table = pd.DataFrame(cells * 2, columns=["n_base", "n_real_plus", "n_syn_plus"])
    size = table["n_base"] + table["n_real_plus"] + KAPPA * table["n_syn_plus"] ** GAMMA
    table["accuracy"] = 0.98 - 1.6 * size**-0.4 + 0.002 * rng.standard_normal(len(table))
    table["seed"] = np.repeat([0, 1], len(cells))
    return mousterian.fit(table, surface="effective_data", bootstrap=200)


def accuracy(n_base: float, real: float, syn: float) -> float:
    return 0.98 - 1.6 * (n_base + real + KAPPA * syn**GAMMA) ** -0.4


def test_the_cheapest_mix_has_equal_marginal_returns_per_cost(fit: mousterian.Fit) -> None:
    target, price = accuracy(200, 300, 0), 0.15
    found = cheapest_mix(fit, n_base=200, target_accuracy=target, real_cost=1, syn_cost=price)
    # One more synthetic image is worth κγS^(γ−1) real ones, and costs `price` of one.
    best = (KAPPA * GAMMA / price) ** (1 / (1 - GAMMA))
    assert found.reachable
    assert found.n_syn_plus is not None and found.cost is not None
    assert found.n_syn_plus.low <= best <= found.n_syn_plus.high
    assert found.cost.estimate < min(found.cost_of_real_alone, found.cost_of_synthetic_alone)
    assert found.cost.low <= 300 - KAPPA * best**GAMMA + price * best <= found.cost.high
    assert found.accuracy.estimate == pytest.approx(target, abs=1e-6)
    assert 0.2 < found.probability < 0.8
    assert found.frontier["cost"].min() == pytest.approx(found.cost.estimate)


def test_expensive_synthetic_images_are_not_bought_and_cheap_ones_are(fit: mousterian.Fit) -> None:
    expensive = cheapest_mix(fit, n_base=200, target_accuracy=0.85, real_cost=1, syn_cost=50)
    assert expensive.n_syn_plus.estimate < 1
    cheap = cheapest_mix(fit, n_base=200, target_accuracy=0.85, real_cost=1, syn_cost=1e-6)
    assert cheap.n_real_plus.estimate == 0


def test_limits_are_respected(fit: mousterian.Fit) -> None:
    limited = cheapest_mix(fit, n_base=200, target_accuracy=85, real_cost=1, syn_cost=50, max_real=20)
    assert limited.n_real_plus.estimate <= 20
    none = cheapest_mix(fit, n_base=200, target_accuracy=0.85, real_cost=1, syn_cost=1, max_real=0)
    assert none.n_real_plus.estimate == 0
    assert none.cost_of_real_alone is None


def test_an_unreachable_target_is_reported(fit: mousterian.Fit) -> None:
    found = cheapest_mix(fit, n_base=200, target_accuracy=0.9999, real_cost=1, syn_cost=1)
    assert not found.reachable
    assert found.cost is None
    assert found.frontier.empty
    assert found.accuracy.estimate < 0.9999
    json.dumps(found.to_json(), allow_nan=False)


def test_where_only_real_images_pay_the_interval_has_an_upper_end(fit: mousterian.Fit) -> None:
    """Half of the draws need more real images than the average does; that is dearer, not impossible."""
    target = accuracy(200, 300, 0)
    found = cheapest_mix(fit, n_base=200, target_accuracy=target, real_cost=1, syn_cost=50)
    assert found.n_real_plus.estimate < found.n_real_plus.high < 1200
    assert found.cost.high == pytest.approx(found.n_real_plus.high, rel=0.05)
    assert found.frontier["n_real_plus"].max() == pytest.approx(found.n_real_plus.estimate)


def test_what_costs_nothing_is_a_price_too(fit: mousterian.Fit) -> None:
    free = cheapest_mix(fit, n_base=200, target_accuracy=0.85, real_cost=0, syn_cost=0)
    assert free.reachable and (free.cost.estimate, free.cost.high) == (0.0, 0.0)


def test_senseless_prices_and_targets_are_refused(fit: mousterian.Fit) -> None:
    with pytest.raises(InputError, match="negative"):
        cheapest_mix(fit, n_base=200, target_accuracy=0.9, real_cost=-1, syn_cost=1)
    with pytest.raises(InputError, match="max_real is inf"):
        cheapest_mix(fit, n_base=200, target_accuracy=0.9, real_cost=1, syn_cost=1, max_real=np.inf)
    with pytest.raises(InputError, match="target accuracy 140"):
        cheapest_mix(fit, n_base=200, target_accuracy=140, real_cost=1, syn_cost=1)


def test_suggested_trials_tell_more_than_the_same_number_elsewhere(fit: mousterian.Fit) -> None:
    listed = suggest(fit, trials=8)
    assert listed["trials"].sum() == 8
    assert listed.attrs["half_width_after"] < listed.attrs["half_width"]
    more = suggest(fit, trials=20)  # too few for two more subset and generator seeds
    assert more.attrs["half_width_after"] < listed.attrs["half_width_after"]
    # Running them does narrow the equivalences, as promised; as many repeats of the base alone do not.
    before = width(fit)
    cells = more.loc[more.index.repeat(more["trials"]), ["n_base", "n_real_plus", "n_syn_plus"]]
    base_only = cells.assign(n_real_plus=0, n_syn_plus=0)
    after, useless = (width(refit(fit, added)) for added in (cells, base_only))
    assert after < useless
    assert after < before


def width(fit: mousterian.Fit) -> float:
    """Return how wide the equivalences that a suggestion aims at are: root mean square over bases and r."""
    asked = [(base, r * base) for base in (100, 200, 400, 800) for r in (0.25, 0.5, 1)]
    found = [fit.equivalence(n_base=base, n_real_plus=real).n_syn_plus for base, real in asked]
    return float(np.sqrt(np.mean([np.log(each.high / each.low) ** 2 for each in found])))


def refit(fit: mousterian.Fit, cells: pd.DataFrame) -> mousterian.Fit:
    rng = np.random.default_rng(1)
    mean = np.array([accuracy(*row) for row in cells.itertuples(index=False)])
    added = cells.assign(
        accuracy=mean + 0.002 * rng.standard_normal(len(cells)), training_seed=range(100, 100 + len(cells))
    )
    columns = ["n_base", "n_real_plus", "n_syn_plus", "accuracy", "training_seed"]
    return mousterian.fit(
        pd.concat([fit.data[columns], added[columns]]), surface="effective_data", bootstrap=200
    )


def test_without_synthetic_data_there_is_nothing_to_suggest() -> None:
    table = pd.DataFrame({"n_base": [10, 20, 40, 80, 160, 320], "n_real_plus": 0, "n_syn_plus": 0})
    table["accuracy"] = 0.9 - table["n_base"] ** -0.5
    fit = mousterian.fit(table, bootstrap=50)
    with pytest.raises(InputError, match="no synthetic data"):
        suggest(fit, trials=3)
    with pytest.raises(InputError, match="at least 1"):
        suggest(fit, trials=0)
