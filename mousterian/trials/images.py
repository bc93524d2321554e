"""The images of a trial, from its dataset, subsets and pool. Importing this needs no torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mousterian.data import subsets
from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.data.loading import load_images
from mousterian.synthesis.filtering import Filtered, FilterInputs
from mousterian.synthesis.kinds import Progress, no_progress
from mousterian.synthesis.pool_identity import UPSTREAM
from mousterian.synthesis.pools import Pool
from mousterian.training.device import device_named
from mousterian.trials import leaks

if TYPE_CHECKING:
    from mousterian.trials.identity import Trial
    from mousterian.trials.settings import Settings


def unseen_labels(trial: Trial, images: ImageSet) -> tuple[int, ...]:
    """Return the labels of the trial's unseen classes, in label order."""
    return tuple(label for label, name in enumerate(images.class_names) if name in trial.dataset.unseen)


def real_indices(trial: Trial, train: ImageSet) -> tuple[subsets.Indices, subsets.Indices]:
    """Return the indices of the trial's S_base and of its real additions, without the unseen classes."""
    classes, unseen = len(train.class_names), unseen_labels(trial, train)
    order = subsets.ordering(train.labels, classes, trial.subset_seed, trial.imbalance, unseen)
    return subsets.base_and_real(order, trial.n_base, trial.n_real_plus)


def generator_indices(trial: Trial, train: ImageSet) -> subsets.Indices:
    """Return the indices of the images that the trial's generator is trained on: S_base or the upstream set.

    Raises:
        InputError: the subsets do not fit in the dataset, or the upstream set overlaps the mixture.
    """
    base, real_plus = real_indices(trial, train)
    generator = trial.generator
    if generator is None or generator.trained_on != UPSTREAM:
        return base
    exclude = np.concatenate([base, real_plus])
    classes = len(train.class_names)
    return subsets.upstream(train.labels, classes, trial.subset_seed, generator.n_upstream, exclude)


def pool_of(trial: Trial, settings: Settings) -> Pool | None:
    """Return the pool that the trial's synthetic images come from."""
    identity = trial.pool()
    if identity is None:
        return None
    classes = load_images(trial.dataset, "train", settings.data_dir).class_names
    return Pool(settings.store / "pools", identity, classes)


def make_pool(
    trial: Trial, count: int, settings: Settings, progress: Progress = no_progress, *, wait: bool = True
) -> Filtered | None:
    """Make the first `count` images of the trial's pool, or enough for its filters to keep `count`.

    With unseen classes, `count` images are of these; the pool has images of all classes.

    Returns:
        The filtered pool; None without filters.

    Raises:
        LockTakenError: another process is making the pool, and `wait` is off.
        InputError: it cannot be made; or it holds test images, and the trial's grid does not allow it.
    """
    pool = pool_of(trial, settings)
    if pool is None:
        return None
    device = device_named(settings.device)
    train = load_images(trial.dataset, "train", settings.data_dir)
    count = _with_all_classes(trial, train, count)

    def test() -> ImageSet:
        return load_images(trial.dataset, "test", settings.data_dir)

    def real() -> ImageSet:
        return train.take(generator_indices(trial, train))

    def make(images: int) -> None:
        pool.ensure(
            images,
            train.shape,
            real,
            device,
            progress=progress,
            test=test,
            data_dir=settings.data_dir,
            wait=wait,
        )

    if not trial.filter_specs:
        make(count)
        leaks.check_pool(trial, pool, count, None, settings.data_dir)
        return None
    filtered = Filtered(pool, trial.filter_specs)
    inputs = FilterInputs(lambda: train.take(real_indices(trial, train)[0]), test, device, settings.data_dir)
    filtered.ensure(count, make, inputs, progress)
    leaks.check_pool(trial, pool, count, filtered, settings.data_dir)
    return filtered


def images_of(trial: Trial, settings: Settings) -> TrialImages:
    """Return all images of a trial; its pool is made if it is missing."""
    train = load_images(trial.dataset, "train", settings.data_dir)
    test = load_images(trial.dataset, "test", settings.data_dir)
    synthetic = _synthetic(trial, settings) if trial.n_syn_plus else None
    base, real_plus = real_indices(trial, train)
    real = np.concatenate([base, real_plus])
    sizes = (trial.n_syn_plus, trial.n_base)
    return TrialImages(train, test, real, synthetic, *sizes, settings.data_dir, trial.dataset.unseen)


def _with_all_classes(trial: Trial, train: ImageSet, count: int) -> int:
    """Return how many images of a pool, whose classes alternate, include `count` that the trial uses."""
    unseen, classes = len(trial.dataset.unseen), len(train.class_names)
    return math.ceil(count / unseen) * classes if unseen else count


_cached: dict[tuple[Path, str, tuple[str, ...]], ImageSet] = {}


def _synthetic(trial: Trial, settings: Settings) -> ImageSet | None:
    """Return at least the trial's synthetic images; those of the last pool are cached in memory.

    With unseen classes these are of the unseen classes alone (main paper, 3.3.2): the pool in its order,
    without the other classes.
    """
    pool = pool_of(trial, settings)
    if pool is None:
        return None
    key = (pool.folder, trial.source_key, trial.dataset.unseen)
    images = _cached.get(key)
    if images is None or len(images) < trial.n_syn_plus:
        filtered = make_pool(trial, trial.n_syn_plus, settings)
        train = load_images(trial.dataset, "train", settings.data_dir)
        images = (filtered or pool).read(_with_all_classes(trial, train, trial.n_syn_plus))
        if unseen := unseen_labels(trial, train):
            images = images.take(np.flatnonzero(np.isin(images.labels, unseen)))
        _cached.clear()
        _cached[key] = images
    return images
