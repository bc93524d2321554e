"""An exact test of whether test images are treated otherwise than unseen real images of their classes.

Where a generator has seen neither, a test image and an unseen one of its class could as well change places.
So each test image is paired with an unseen one of its class, and what was counted for the two is exchanged in
every pair independently: all 2^P exchanges give the distribution that holds without a leak. It makes no
assumption about the generator, or about some images having more neighbours than others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mousterian.seeds import seed_for

LEAST_P = 1e-12  # smaller ones are lost in rounding, and reported as this


def pairs(test: NDArray[np.int64], unseen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return pairs of a test and an unseen image of one class, (P, 2) int64 indices, drawn at random.

    Every image stands in one pair at most; the rest of a class that has more of the one kind are left out.

    Args:
        test: (N,) int64, classes of the test images.
        unseen: (M,) int64, classes of the real images that the generator has not seen.
    """
    random = np.random.default_rng(seed_for("leaks", "pairs"))
    found = []
    for label in np.intersect1d(test, unseen):
        members = [random.permutation(np.flatnonzero(part == label)) for part in (test, unseen)]
        count = min(map(len, members))
        found.append(np.stack([rows[:count] for rows in members], axis=1))
    return np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)


def p_value(test: NDArray[np.int64], unseen: NDArray[np.int64]) -> float:
    """Return the chance of a sum over test images as large as this, if the two of a pair are exchangeable.

    >>> p_value(np.array([1, 1, 1, 0]), np.array([0, 0, 0, 0]))
    0.125

    Args:
        test: (P,) int64, what was counted for the test image of each pair, 0 or more.
        unseen: (P,) int64, for the unseen image.
    """
    differences = test - unseen
    sizes, times = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    most = int((sizes * times).sum())
    # The sum is shifted and halved to that of |difference| over the pairs in which the test image has more:
    # 0 to `most`, a sum of independent values whose characteristic function is a product.
    angles = 2 * np.pi * np.arange((most + 1) // 2 + 1) / (most + 1)
    spectrum = np.ones(len(angles), dtype=np.complex128)
    for size, count in zip(sizes, times, strict=True):
        spectrum *= ((1 + np.exp(-1j * angles * size)) / 2) ** count
    chances = np.fft.irfft(spectrum, n=most + 1)
    reached = int(differences[differences > 0].sum())
    return float(np.clip(chances[reached:].sum(), LEAST_P, 1.0))
