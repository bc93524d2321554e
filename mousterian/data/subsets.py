"""Nested subsets of a training set, balanced or long-tailed.

Each subset seed defines one ordering of the training images. Every subset is a prefix of it, so
S_base(n) is contained in S_base(m) for n < m, and base + real added is the continuation of the base
(DESIGN, "The science", 1).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from mousterian.errors import InputError
from mousterian.seeds import seed_for

Indices = NDArray[np.int64]


def class_weights(classes: int, imbalance: float = 1.0) -> NDArray[np.float64]:
    """Return relative class sizes n_k = n_1 * imbalance**(-(k-1)/(K-1)), (K,) float64, first is 1.

    Args:
        classes: number of classes K.
        imbalance: size of the first class over that of the last (gamma); 1 is balanced.
    """
    if not imbalance >= 1:
        raise InputError(f"imbalance must be 1 (balanced) or more, not {imbalance}")
    return imbalance ** -(np.arange(classes) / max(classes - 1, 1))


def ordering(
    labels: NDArray[np.int64],
    classes: int,
    subset_seed: int,
    imbalance: float = 1.0,
    unseen: Collection[int] = (),
) -> Indices:
    """Return the order, (N,) int64, of which every prefix is a class-balanced or long-tailed subset.

    Each class is shuffled by its own seed; then the classes take turns in proportion to their weights
    (the j-th image of class k comes at (j + 1/2) / w_k: Sainte-Laguë's rule, which never takes an image
    away when the subset grows). Balanced prefixes are equal to within one image until a class runs out.
    `unseen` classes are left out; in a balanced order this does not change the relative order of the
    other images.
    """
    seen = [label for label in range(classes) if label not in unseen]
    indices, turns, owners = [], [], []
    for label, weight in zip(seen, class_weights(len(seen), imbalance), strict=True):
        members = np.flatnonzero(labels == label)
        random = np.random.default_rng(seed_for("subset", subset_seed, label))
        indices.append(random.permutation(members))
        turns.append((np.arange(len(members)) + 0.5) / weight)
        owners.append(np.full(len(members), label))
    order = np.lexsort((np.concatenate(owners), np.concatenate(turns)))
    return np.concatenate(indices)[order].astype(np.int64)


def base_and_real(order: Indices, n_base: int, n_real_plus: int) -> tuple[Indices, Indices]:
    """Return the indices of S_base and of the real images added to it."""
    if n_base + n_real_plus > len(order):
        raise InputError(
            f"n_base {n_base} + n_real_plus {n_real_plus} exceeds the {len(order)} training images"
        )
    return order[:n_base], order[n_base : n_base + n_real_plus]


def check_balance(  # noqa: PLR0917 (as `ordering`, with the sizes between)
    labels: NDArray[np.int64],
    classes: int,
    n_base: int,
    n_real_plus: int,
    imbalance: float = 1.0,
    unseen: Collection[int] = (),
) -> None:
    """Refuse sizes at which a class runs out of images, or has none in S_base.

    Raises:
        InputError: with the largest n_base + n_real_plus, or the smallest n_base, that is possible.
    """
    seen = np.array([label for label in range(classes) if label not in unseen])
    if n_base < len(seen):
        raise InputError(f"n_base {n_base} is less than one image for each of {len(seen)} classes")
    weights = class_weights(len(seen), imbalance)
    share = weights / weights.sum()
    available = np.bincount(labels, minlength=classes)[seen]
    # By Sainte-Laguë's rule a class has n·share images, to within one, in a prefix of n.
    most = int(np.min((available + 0.5) / share))
    if n_base + n_real_plus > most:
        short = int(np.argmin((available + 0.5) / share))
        raise InputError(
            f"n_base {n_base} + n_real_plus {n_real_plus} is too large for these class proportions: class"
            f" {seen[short]} has only {available[short]} images",
            hint=f"the largest n_base + n_real_plus is {most}",
        )
    least = int(np.ceil(0.5 / share.min()))
    if n_base < least and imbalance > 1:
        raise InputError(
            f"n_base {n_base} has no image of the smallest class; the smallest n_base is {least}"
        )


def upstream(
    labels: NDArray[np.int64], classes: int, subset_seed: int, size: int, exclude: Indices
) -> Indices:
    """Return `size` indices of the real images that an external generator is trained on.

    They are class-balanced, taken from the end of each class's order, and the same for every base
    size of one subset seed; an overlap with `exclude` (base and real images of a mixture) is an error.
    """
    order = ordering(labels, classes, subset_seed)
    owners = labels[order]
    turns = np.empty(len(order), dtype=np.int64)
    for label in range(classes):
        members = np.flatnonzero(owners == label)
        turns[members] = np.arange(len(members))[::-1]
    chosen = order[np.lexsort((owners, turns))][:size]
    overlap = len(np.intersect1d(chosen, exclude))
    if size > len(order) or overlap:
        raise InputError(
            f"an upstream set of {size} images shares {overlap} with the {len(exclude)} real images"
            f" of the mixture ({len(order)} training images in all)",
            hint="reduce n_upstream, n_base or the real additions",
        )
    return chosen
