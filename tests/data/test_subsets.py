from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousterian.data import subsets
from mousterian.errors import InputError


def labels_of(sizes: list[int], seed: int = 0) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).permutation(labels)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=8),
    seed=st.integers(0, 5),
    imbalance=st.sampled_from([1.0, 10.0, 100.0]),
)
def test_ordering_is_a_permutation(sizes: list[int], seed: int, imbalance: float) -> None:
    labels = labels_of(sizes)
    order = subsets.ordering(labels, len(sizes), seed, imbalance)
    assert sorted(order) == list(range(len(labels)))


@given(n=st.integers(1, 200), classes=st.integers(2, 12), seed=st.integers(0, 5))
def test_balanced_prefixes_are_equal_to_within_one(n: int, classes: int, seed: int) -> None:
    labels = labels_of([200 // classes + 1] * classes)
    counts = np.bincount(labels[subsets.ordering(labels, classes, seed)[:n]], minlength=classes)
    assert counts.max() - counts.min() <= 1


@given(gamma=st.sampled_from([10.0, 50.0, 100.0]), classes=st.integers(3, 10))
def test_long_tail_follows_its_rule(gamma: float, classes: int) -> None:
    labels = labels_of([500] * classes)
    weights = gamma ** -(np.arange(classes) / (classes - 1))
    n = round(400 * weights.sum())
    counts = np.bincount(labels[subsets.ordering(labels, classes, 0, gamma)[:n]], minlength=classes)
    np.testing.assert_allclose(counts, 400 * weights, atol=1.0)


def test_a_class_that_runs_out_leaves_its_turns_to_the_others() -> None:
    labels = labels_of([3, 50, 50])
    counts = np.bincount(labels[subsets.ordering(labels, 3, 0)[:43]])
    assert list(counts) == [3, 20, 20]


def test_base_and_real_are_nested_and_paired() -> None:
    order = subsets.ordering(labels_of([100] * 10), 10, 0)
    base, real = subsets.base_and_real(order, 30, 60)
    larger, _ = subsets.base_and_real(order, 90, 0)
    assert set(base) | set(real) == set(larger)
    assert not set(base) & set(real)


def test_another_subset_seed_gives_other_images() -> None:
    labels = labels_of([100] * 10)
    first, second = (set(subsets.ordering(labels, 10, seed)[:100]) for seed in (0, 1))
    assert 0 < len(first & second) < 50


def test_upstream_is_balanced_the_same_for_every_base_and_disjoint() -> None:
    labels = labels_of([100] * 10)
    order = subsets.ordering(labels, 10, 3)
    small = subsets.upstream(labels, 10, 3, 400, order[:50])
    large = subsets.upstream(labels, 10, 3, 400, order[:600])
    assert np.array_equal(small, large)
    assert not np.intersect1d(large, order[:600]).size
    assert set(np.bincount(labels[small])) == {40}


def test_upstream_that_overlaps_the_mixture_is_refused() -> None:
    labels = labels_of([100] * 10)
    order = subsets.ordering(labels, 10, 0)
    with pytest.raises(InputError, match="shares"):
        subsets.upstream(labels, 10, 0, 500, order[:510])


def test_too_many_real_images_are_refused() -> None:
    order = subsets.ordering(labels_of([10, 10]), 2, 0)
    with pytest.raises(InputError, match="exceeds the 20 training images"):
        subsets.base_and_real(order, 15, 6)


@pytest.mark.parametrize(("imbalance", "most"), [(1.0, 200), (10.0, 150)])
def test_sizes_at_which_a_class_runs_out_are_refused_with_the_largest_that_fits(
    imbalance: float, most: int
) -> None:
    labels = labels_of([50] * 4)
    with pytest.raises(InputError, match="too large for these class proportions") as caught:
        subsets.check_balance(labels, 4, 300, 0, imbalance)
    largest = int(caught.value.hint.split()[-1])
    assert largest <= most + 2
    subsets.check_balance(labels, 4, largest, 0, imbalance)
    counts = np.bincount(labels[subsets.ordering(labels, 4, 0, imbalance)[:largest]], minlength=4)
    weights = subsets.class_weights(4, imbalance)
    np.testing.assert_allclose(counts, largest * weights / weights.sum(), atol=1.0)


def test_a_long_tail_without_an_image_of_its_last_class_is_refused() -> None:
    with pytest.raises(InputError, match="smallest n_base is"):
        subsets.check_balance(labels_of([500] * 10), 10, 20, 0, 100.0)
