from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from perturbations import CHANGES, noisy

from mousterian.data.datasets import digits
from mousterian.data.image_set import ImageSet, concatenate
from mousterian.data.leakage import checks as leak_checks
from mousterian.data.leakage.checks import Features
from mousterian.data.leakage.results import Comparison, Copies, Nearness, PoolLeaks
from mousterian.errors import InputError


@cache
def everything() -> ImageSet:
    return concatenate([digits.load(split, Path()) for split in ("train", "test")])


def split(*sizes: int, seed: int = 0) -> list[ImageSet]:
    """Return disjoint random parts of the digits."""
    order = np.random.default_rng(seed).permutation(len(everything()))
    return [everything().take(rows) for rows in np.split(order, np.cumsum(sizes))[: len(sizes)]]


def changed(images: ImageSet, change: str) -> ImageSet:
    return ImageSet(CHANGES[change](images.images), images.labels, images.class_names)


@pytest.mark.parametrize("half", [False, True], ids=["whole", "half"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_pool_of_test_images_is_refused(change: str, half: bool) -> None:
    test, unseen, clean = split(400, 600, 200)
    leaked = changed(test.take(range(200)), change)
    pool = concatenate([leaked, clean]) if half else leaked
    found = leak_checks.check_pool(pool, test, unseen)
    assert found.calibrated
    assert found.refused
    assert "The pool holds test images: more test images than" in found.sentences()[-1]
    assert found.copies.found >= 194


@pytest.mark.parametrize("change", CHANGES)
def test_a_pool_of_test_images_is_refused_without_unseen_images_too(change: str) -> None:
    test, clean = split(400, 200)
    found = leak_checks.check_pool(concatenate([changed(test, change), clean]), test, None)
    assert not found.calibrated
    assert found.refused
    assert any(each.startswith("Uncalibrated: there are no unseen") for each in found.sentences())


@pytest.mark.parametrize(("change", "reason"), [("exact", "identical copies"), ("noisy", "more than 25 %")])
def test_a_pool_of_test_and_unseen_images_alike_is_refused(change: str, reason: str) -> None:
    test, unseen = split(400, 600)
    found = leak_checks.check_pool(changed(concatenate([test, unseen]), change), test, unseen)
    assert found.comparison is not None
    assert found.comparison.p_value > 0.5
    assert reason in found.reason


@pytest.mark.parametrize("size", [50, 300])
def test_clean_pools_pass(size: int) -> None:
    found = [leak_checks.check_pool(*split(size, 300, 300, seed=seed)) for seed in range(40)]
    assert sum(each.refused for each in found) == 0  # a rate of 1 in 1,000 shows once in 25 such runs
    assert sum(each.near for each in found) == 0
    assert {each.calibrated for each in found} == {True}


def test_clean_pools_pass_without_unseen_images_too() -> None:
    found = [leak_checks.check_pool(*split(50, 600, seed=seed), None) for seed in range(20)]
    assert not any(each.refused for each in found)
    assert all(each.comparison is None and not each.nearness for each in found)


def test_a_set_with_test_images_in_train_is_refused() -> None:
    train, test = split(500, 400)
    leaky = concatenate([test.take(range(100)), train.take(range(100, 500))])
    found = leak_checks.check_set(leaky, test)
    assert found.refused
    assert (found.copies.exact, found.copies.others_exact) == (100, 100)
    assert f"{found.copies.found} of 400 test images have a copy among 500" in found.sentences()[0]
    assert "100 identical" in found.sentences()[0]
    assert "25 % of the test images are in the training set" in found.sentences()[1]


def test_near_copies_in_train_are_counted_and_no_ground_to_refuse() -> None:
    train, test = split(500, 400)
    found = leak_checks.check_set(concatenate([changed(test, "noisy"), train]), test)
    assert not found.refused
    assert found.copies.near == 400


@pytest.mark.parametrize(("shared", "refused"), [(4, False), (5, True)])
def test_one_per_cent_of_the_test_images_may_be_in_train(shared: int, refused: bool) -> None:
    train, test = split(500, 400)
    found = leak_checks.check_set(concatenate([test.take(range(shared)), train]), test)
    assert found.copies.exact == shared
    assert found.refused == refused


def test_a_pool_like_the_test_images_without_a_copy_lies_nearer_to_them() -> None:
    """Test images under heavy noise are no copies; a generator that has learnt them by heart makes such."""
    test, unseen = split(400, 500)
    pool = ImageSet(noisy(test.images, 60), test.labels, test.class_names)
    found = leak_checks.check_pool(pool, test, unseen)
    [pixels] = found.nearness
    assert found.near
    assert pixels.share > 0.7
    assert "the pool lies nearer to the test images than chance allows" in pixels.sentence()


def test_blurred_pools_are_nearer_to_everything_and_raise_no_alarm() -> None:
    """Means of many clean images lie near the middle, where a few real images are nearest to all of them."""
    for seed in range(10):
        clean, test, unseen = split(600, 400, 400, seed=seed)
        blurred = [clean.images[clean.labels == label].mean(0) for label in range(10)]
        pool = np.stack(blurred * 30) + np.random.default_rng(seed).normal(0, 5, (300, 8, 8, 1))
        labels = np.tile(np.arange(10), 30)
        images = ImageSet(np.clip(pool, 0, 255).astype(np.uint8), labels, clean.class_names)
        found = leak_checks.check_pool(images, test, unseen)
        assert not found.refused
        assert not found.near


def test_nearness_is_measured_in_features_too() -> None:
    pool, test, unseen = split(100, 300, 300)
    random = np.random.default_rng(0)
    of_test, of_unseen = (random.normal(size=(300, 5)).astype(np.float32) for _ in range(2))
    near = of_test[:100] + np.float32(0.01)
    features = {"network": Features(near, of_test, of_unseen), "other": Features(near, of_unseen, of_test)}
    found = leak_checks.check_pool(pool, test, unseen, features=features)
    spaces = {each.space: each for each in found.nearness}
    assert set(spaces) == {"pixels", "network", "other"}
    assert spaces["network"].share > 0.85  # the rest are of test images that have no partner
    assert spaces["other"].share < 0.15
    assert found.near
    assert not found.refused


def test_images_that_are_both_test_and_unseen_are_ties() -> None:
    test, pool = split(300, 100)
    found = leak_checks.check_pool(pool, test, test)
    [pixels] = found.nearness
    assert pixels.images == 0
    assert not found.near


def test_features_must_be_a_row_an_image() -> None:
    pool, test, unseen = split(10, 100, 100)
    rows = np.zeros((9, 2), dtype=np.float32)
    with pytest.raises(InputError, match="network: there are features of other images"):
        leak_checks.check_pool(pool, test, unseen, features={"network": Features(rows, rows, rows)})


def test_unseen_images_of_other_classes_are_refused() -> None:
    pool, test, unseen = split(10, 100, 100)
    other = ImageSet(unseen.images, unseen.labels, tuple("abcdefghij"))
    with pytest.raises(InputError, match="of other classes"):
        leak_checks.check_pool(pool, test, other)


def test_identical_copies_are_refused_where_too_few_unseen_images_can_say_what_is_usual() -> None:
    test, unseen, clean = split(400, 10, 100)
    found = leak_checks.check_pool(concatenate([test.take(range(5)), clean]), test, unseen)
    assert not found.calibrated
    assert "are identical copies; at most 1 % may be" in found.reason


def test_an_empty_pool_holds_nothing() -> None:
    test, unseen = split(100, 100)
    found = leak_checks.check_pool(test.take([]), test, unseen)
    assert not found.refused
    assert found.sentences()[0] == "None of 0 pool images has a copy among 100 test images."


COPIES = Copies(500, 400, 20, 5, 18, 4, ((3, 7), (4, 9)))
POOL = PoolLeaks(COPIES, 300, Comparison(12, 16, 1, 3, 0.004), (Nearness("pixels", 498, 260, 0.2),))


def test_sentences_say_what_was_found() -> None:
    assert POOL.sentences() == [
        "25 of 500 pool images have a copy among 400 test images: 20 identical, 5 near"
        " (for example pool image 3 and test image 7).",
        "Of 300 test images 16 have a copy in the pool, of as many real images that its generator has not"
        " seen 3 (p = 0.004).",
        "In pixels, 52 % of 498 pool images lie nearer to a test image than to an unseen real image"
        " (p = 0.2); about 50 % are expected without a leak.",
        "The pool holds test images: 4 % of it, and 4.5 % of the test images, are identical copies; at most"
        " 1 % may be.",
    ]
