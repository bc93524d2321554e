from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mousterian.data.leakage import exchange_test


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=9))
def test_the_p_value_is_the_share_of_all_exchanges_with_as_large_a_sum(counts: list[tuple[int, int]]) -> None:
    sides = np.array(counts, dtype=np.int64).reshape(-1, 2).T
    signs = np.array(list(product((-1, 1), repeat=len(counts)))).reshape(2 ** len(counts), -1)
    differences = sides[0] - sides[1]
    share = np.mean(signs @ np.abs(differences) >= differences.sum())
    assert exchange_test.p_value(*sides) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(("pairs", "more"), [(40, 31), (10_001, 5300)])
def test_marks_give_the_sign_test(pairs: int, more: int) -> None:
    test = (np.arange(pairs) < more).astype(np.int64)
    expected = stats.binom.sf(more - 1, pairs, 0.5)
    assert exchange_test.p_value(test, 1 - test) == pytest.approx(expected, rel=1e-3)


def test_a_hub_weighs_no_more_than_one_pair() -> None:
    """One test image that is nearest to all 1,000 pool images says nothing."""
    assert exchange_test.p_value(np.array([1000, 0]), np.array([0, 0])) == pytest.approx(0.5)


def test_pairs_are_of_one_class_and_use_an_image_once() -> None:
    test, unseen = np.array([0, 0, 0, 1, 1, 2]), np.array([1, 0, 1, 1, 0, 3])
    pairs = exchange_test.pairs(test, unseen)
    assert (test[pairs[:, 0]] == unseen[pairs[:, 1]]).all()
    assert np.bincount(test[pairs[:, 0]]).tolist() == [2, 2]
    assert all(len(np.unique(column)) == len(pairs) for column in pairs.T)


def test_without_a_class_in_common_there_are_no_pairs() -> None:
    assert exchange_test.pairs(np.array([0, 0]), np.array([1])).shape == (0, 2)
