from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from perturbations import CHANGES, shifted
from sklearn.datasets import load_sample_images

from mousterian.data.datasets import digits
from mousterian.data.leakage import near_copies
from mousterian.data.leakage.coarse_images import brightness
from mousterian.errors import InputError


@cache
def patches(side: int) -> np.ndarray:
    """Return squares of two photographs that do not overlap and are no bare sky, in random order."""
    found = []
    for photograph in load_sample_images().images:
        rows, columns = (length // side for length in photograph.shape[:2])
        cut = photograph[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
        found.append(cut.swapaxes(1, 2).reshape(-1, side, side, 3))
    images = np.random.default_rng(0).permutation(np.concatenate(found))
    return images[brightness(images).std((1, 2)).numpy() > 15]


@cache
def eights() -> np.ndarray:
    return digits.load("train", Path()).images


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("side", [8, 32, 64, 200])
def test_copies_are_found_at_every_size(side: int, change: str) -> None:
    images = eights() if side == 8 else patches(side)
    count = len(images) // 2
    found = near_copies.find(CHANGES[change](images[:count]), images)
    pairs = {tuple(pair) for pair in (found.exact if change == "exact" else found.near).tolist()}
    right = sum((index, index) in pairs for index in range(count))
    assert right >= 0.97 * count
    assert change == "exact" or not len(found.exact)


def test_other_pictures_are_no_copies() -> None:
    images = patches(32)[brightness(patches(32)).std((1, 2)).numpy() > 30]  # dim gradients are all alike
    found = near_copies.find(images[::2], images[1::2])
    assert (len(found.exact), len(found.near)) == (0, 0)
    assert len(images) > 120


def test_blank_pictures_match_identical_ones_alone() -> None:
    levels = np.array([0, 0, 100, 101, 255], dtype=np.uint8)
    blank = np.broadcast_to(levels[:, None, None, None], (5, 16, 16, 1)).copy()
    noise = np.random.default_rng(0).integers(98, 103, (5, 16, 16, 1), dtype=np.uint8)
    found = near_copies.find(blank[1:4], np.concatenate([blank, noise]))
    assert found.exact.tolist() == [[0, 0], [0, 1], [1, 2], [2, 3]]
    assert not len(found.near)


def test_each_image_and_each_other_stands_with_its_first_identical_one() -> None:
    one, other = eights()[:2]
    found = near_copies.find(np.stack([one, one, other]), np.stack([other, one, one]))
    assert found.exact.tolist() == [[0, 1], [0, 2], [1, 1], [2, 0]]


def test_what_is_found_of_an_image_does_not_depend_on_the_rest() -> None:
    images = patches(32)
    changed = shifted(images[:40])
    whole = near_copies.find(changed, images).near
    part = near_copies.find(changed[10:20], images).near
    expected = [[row - 10, column] for row, column in whole.tolist() if 10 <= row < 20]
    assert sorted(part.tolist()) == sorted(expected)


def test_the_error_of_jpeg_is_what_pillow_makes() -> None:
    grey = patches(32)[:50].mean(3, keepdims=True).astype(np.uint8)
    lost = CHANGES["recompressed"](grey).astype(float) - grey
    actual = np.sqrt((lost**2).mean((1, 2, 3)))
    estimate = near_copies.jpeg_error(brightness(grey)).numpy()
    np.testing.assert_allclose(estimate, actual, rtol=0.1, atol=0.3)


def test_nothing_has_no_copies() -> None:
    found = near_copies.find(eights()[:0], eights()[:5])
    assert (found.exact.shape, found.near.shape) == ((0, 2), (0, 2))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 3), (3, 3, 1), (4, 40, 1)])
def test_tiny_pictures_are_compared(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
    found = near_copies.find(images[:10], images)
    assert {(index, index) for index in range(10)} <= {tuple(pair) for pair in found.exact.tolist()}


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="images of 8×8×1 cannot be compared with images of 32×32×3"):
        near_copies.find(eights()[:2], patches(32)[:2])
