"""A pool with the real images that it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mousterian.data.cache import data_directory
from mousterian.data.image_set import ImageSet
from mousterian.data.loading import dataset_named, dataset_text, load_images
from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.plugins.choice import Choice
from mousterian.synthesis.filter_scores import FilterSpec, filter_spec
from mousterian.synthesis.filtering import Filtered
from mousterian.synthesis.kinds import GeneratorContext, sampler_inputs
from mousterian.synthesis.pool_identity import ELSEWHERE, PoolIdentity
from mousterian.synthesis.pools import Pool
from mousterian.synthesis.stored_pools import dataset_of, seen_indices


@dataclass(frozen=True, eq=False)
class MeasureInputs:
    """A pool and its real images.

    Attributes:
        identity: of the pool.
        pool: its images.
        prompts: the prompt of each image; empty if there are none.
        dataset: of the real images.
        real, test: its training and test images.
        seen: training images of the generator; None if unknown or of another dataset.
        filters: filters that keep these images; empty: they are the pool's first.
        notes: what is left out of the dataset and the pool, or converted, as sentences.
    """

    identity: PoolIdentity
    pool: ImageSet
    prompts: tuple[str, ...]
    dataset: Choice
    real: ImageSet
    test: ImageSet
    seen: ImageSet | None
    filters: tuple[FilterSpec, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Human-readable name."""
        return f"{self.identity.label} ({self.identity.key[:8]})"

    @property
    def space(self) -> str:
        """The default feature space: a classifier of the dataset."""
        return f"classifier:{dataset_text(self.dataset.name, self.dataset.options)}"


def measure_inputs(
    place: Path, real: str, count: int, data_dir: Path | None, filters: Sequence[str] = ()
) -> MeasureInputs:
    """Return a pool with the real images that it is compared with.

    Args:
        place: folder of a pool, or a folder or file of images generated elsewhere.
        real: dataset of the real images; empty: the pool's own.
        count: images of the pool; 0: all.
        data_dir: folder of the datasets.
        filters: filters that have scored the pool, by name or hash; images that they all keep are measured.

    Raises:
        InputError: the pool cannot be read, has no scores of a filter, or does not fit the dataset.
    """
    identity = PoolIdentity.at(place) if (place / "pool.json").exists() else None
    dataset = _dataset(real, identity, place, data_dir)
    train, test = (load_images(dataset, split, data_dir) for split in ("train", "test"))
    if identity is None:
        if filters:
            raise InputError(
                "images generated elsewhere have no filters", where=str(place), hint="leave out --filter"
            )
        identity, pool = _external_images(place, dataset, train, count, data_dir)
        notes = (*train.notes, *test.notes, *pool.notes)
        return MeasureInputs(identity, pool, (), dataset, train, test, None, notes=notes)
    stored = Pool(place.parent, identity, train.class_names)
    if 0 < stored.classes() != len(train.class_names):
        raise InputError(
            f"its images have {stored.classes()} classes, those of {dataset.name} {len(train.class_names)}",
            where=str(place),
            hint=f"set --real to a dataset with the pool's classes; its own is {identity.dataset['name']}",
        )
    specs = tuple(filter_spec(place, name) for name in filters)
    positions = _kept(stored, specs, count) if specs else np.arange(count or _images_in(stored))
    pool = stored.read(int(positions.max()) + 1).take(positions)
    if pool.shape != train.shape:
        raise InputError(
            f"its images are {pool.shape}, those of {dataset.name} {train.shape}", where=str(place)
        )
    same = dict(identity.dataset) == dataset.describe()
    indices = seen_indices(identity, train) if same else ()
    seen = train.take(indices) if len(indices) else None
    texts = stored.prompts(int(positions.max()) + 1)
    prompts = tuple(texts[position] for position in positions) if texts else ()
    notes = (*train.notes, *test.notes, *stored.notes())
    return MeasureInputs(identity, pool, prompts, dataset, train, test, seen, specs, notes)


def _kept(pool: Pool, specs: Sequence[FilterSpec], count: int) -> NDArray[np.int64]:
    """Return the positions of the first `count` images that all filters keep; 0: of all."""
    positions = Filtered.as_scored(pool, specs).positions(count)
    if not len(positions) or len(positions) < count:
        raise InputError(
            f"the filters keep {len(positions)} images, not {count or 'one of every class'}",
            where=str(pool.folder),
            hint="set --images lower, or run a grid file with this filter and more images",
        )
    return positions


def _dataset(real: str, identity: PoolIdentity | None, place: Path, data_dir: Path | None) -> Choice:
    if real:
        plugin, options = dataset_named(real)
        return Choice.of(plugin, options, data_directory(data_dir))
    if identity is None:
        raise InputError(
            "these images have no dataset",
            where=str(place),
            hint="set the real images: --real DATASET",
        )
    return dataset_of(identity)


def _images_in(pool: Pool) -> int:
    count = pool.count()
    if not count:
        raise InputError("the pool has no images yet", where=str(pool.folder), hint="run its grid")
    return count


def _external_images(
    path: Path, dataset: Choice, train: ImageSet, count: int, data_dir: Path | None
) -> tuple[PoolIdentity, ImageSet]:
    """Read images generated elsewhere with the generator `precomputed`, under its identity."""
    plugin = registry.find("generators", "precomputed")
    made = Choice.of(plugin, plugin.resolve({"path": str(path)}), data_directory(data_dir))
    origin = (made.name, made.options, made.stamp, 0, ELSEWHERE)
    identity = PoolIdentity(*origin, dataset.describe(), 0, 1.0, 0, 0, made.revision)
    context = GeneratorContext(train.class_names, train.shape, 0, "cpu", path)
    sampler = plugin.load()(context, **made.options)
    available = min(sampler.limit, count or sampler.limit)
    if not available or available < count:
        raise InputError(
            f"there are {sampler.limit} images with the classes in turn, not {count or 'any'}",
            where=str(path),
        )
    labels, indices, seeds = sampler_inputs(np.arange(available), len(train.class_names), 0)
    images = sampler.sample(labels, indices, seeds)
    synthetic = np.ones(available, dtype=bool)
    return identity, ImageSet(images, labels, train.class_names, synthetic, tuple(sampler.notes))
