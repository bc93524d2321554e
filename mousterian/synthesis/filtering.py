"""Filtered pools: the images of a pool that all its filters keep, in the order of each class.

A filter's scores are in POOL/filters/HASH.parquet, one row for each image; no image is ever deleted. Image j
of a filtered pool is of class j mod K and is the next image of that class that every filter keeps, so a
smaller filtered pool is a prefix of a larger one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError, first_of
from mousterian.files import file_lock
from mousterian.plugins import registry
from mousterian.synthesis import filter_scores
from mousterian.synthesis.filter_scores import FilterSpec, Keep
from mousterian.synthesis.kinds import FilterContext, Progress, no_progress
from mousterian.synthesis.pools import Pool

MAX_OVERSAMPLING = 20  # images generated for each one wanted, at most; a filter that needs more is too strict


@dataclass(frozen=True)
class FilterInputs:
    """What the filters of a pool are given beside its images.

    Attributes:
        real: returns S_base.
        test: returns the dataset's test images.
        device: torch device name.
        data_dir: folder of the datasets; None for the default.
    """

    real: Callable[[], ImageSet]
    test: Callable[[], ImageSet]
    device: str
    data_dir: Path | None


@dataclass(frozen=True)
class ClassRetention:
    """How many images of one class were scored, and how many of them all filters keep."""

    class_name: str
    images: int
    kept: int


@dataclass
class Filtered:
    """The images of a pool that every filter keeps."""

    pool: Pool
    specs: Sequence[FilterSpec]
    _kept: Keep = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def ensure(
        self, count: int, make: Callable[[int], None], inputs: FilterInputs, progress: Progress = no_progress
    ) -> None:
        """Generate and score images of the pool until `count` of them are kept, with the classes in turn.

        Args:
            count: images wanted.
            make: generates the first N images of the pool, or fewer if the generator has no more.
            inputs: what the filters are given.
            progress: receives the progress.

        Raises:
            InputError: too few images of a class are kept, even of `MAX_OVERSAMPLING * count` images.
        """
        wanted = self._wanted(count)
        images = count
        while True:
            make(images)
            available = self.pool.count()
            scored = min(images, available)
            self._kept = _all_keep([self._scores(each, scored, inputs, progress) for each in self.specs])
            kept = self._by_class(self._kept)
            if np.all(kept >= wanted):
                return
            if available < images or images >= MAX_OVERSAMPLING * count:
                raise self._too_few(wanted, kept)
            share = np.min(np.maximum(kept, 0.5) / np.maximum(wanted, 1))
            larger = max(images + self.pool.shard_size, math.ceil(1.1 * images / share))
            images = min(MAX_OVERSAMPLING * count, larger)

    def _wanted(self, count: int) -> NDArray[np.int64]:
        classes = len(self.pool.class_names)
        return (count + classes - 1 - np.arange(classes)) // classes

    def _by_class(self, keep: Keep) -> NDArray[np.int64]:
        classes = len(self.pool.class_names)
        return np.bincount(np.flatnonzero(keep) % classes, minlength=classes)

    def _too_few(self, wanted: NDArray[np.int64], kept: NDArray[np.int64]) -> InputError:
        names = self.pool.class_names
        short = [f"{names[k]} ({kept[k]} of {wanted[k]})" for k in np.flatnonzero(kept < wanted)]
        filters = ", ".join(spec.name for spec in self.specs)
        return InputError(
            f"too few images of the pool {self.pool.identity.label} pass its filters ({filters}):"
            f" {first_of(short)}, of {len(self._kept)} scored",
            where=str(self.pool.folder),
            hint="make the filter less strict, r_syn or n_syn_plus smaller, or use a better generator",
        )

    def _scores(self, spec: FilterSpec, count: int, inputs: FilterInputs, progress: Progress) -> pa.Table:
        """Return a filter's scores of the pool's first images, computing those that are not saved."""
        folder = self.pool.folder
        path = filter_scores.file_of(folder, spec)
        path.parent.mkdir(exist_ok=True)
        with file_lock(path.with_suffix(".lock")):
            table = filter_scores.read(folder, spec)
            if len(table) < count:
                progress(f"filter {spec.name}", len(table), count, "")
                table = self._extended(table, spec, count, inputs)
                filter_scores.write(folder, spec, table)
        return table

    def _extended(self, table: pa.Table, spec: FilterSpec, count: int, inputs: FilterInputs) -> pa.Table:
        size = self.pool.shard_size
        done = len(table) // size * size  # an incomplete last shard may have grown
        end = min(math.ceil(count / size) * size, self.pool.count())
        images = self.pool.read(end)

        def earlier() -> ImageSet | None:
            return images.take(np.arange(done)) if done else None

        context = FilterContext(inputs.device, inputs.data_dir, size, earlier, inputs.test)
        plugin = registry.find("filters", spec.name)
        new = images.take(np.arange(done, end))
        keep, score = plugin.load()(new, inputs.real(), context, **spec.options, **plugin.preset)
        if keep.shape != (len(new),) or score.shape != (len(new),):
            raise InputError(
                f"the filter returned {keep.shape} keep flags and {score.shape} scores for {len(new)} images",
                where=f"filter {spec.name}",
            )
        return pa.concat_tables(
            [table.slice(0, done), filter_scores.as_table(np.arange(done, end), keep, score, spec)]
        )

    @classmethod
    def as_scored(cls, pool: Pool, specs: Sequence[FilterSpec]) -> Filtered:
        """Return the images kept according to the saved scores, of those that every filter has scored."""
        return cls(pool, specs, _all_keep([filter_scores.read(pool.folder, each) for each in specs]))

    def positions(self, count: int = 0) -> NDArray[np.int64]:
        """Return the positions in the pool of its first `count` kept images; 0: until a class runs out."""
        classes = len(self.pool.class_names)
        kept = np.flatnonzero(self._kept)
        turns = np.empty(len(kept), dtype=np.int64)
        for label in range(classes):
            mine = kept % classes == label
            turns[mine] = np.arange(mine.sum())
        limit = np.min(self._by_class(self._kept) * classes + np.arange(classes))
        return kept[np.lexsort((kept % classes, turns))][: count or int(limit)]

    def read(self, count: int) -> ImageSet:
        """Return the first `count` kept images; `ensure` must have generated and scored them."""
        chosen = self.positions(count)
        return self.pool.read(int(chosen.max(initial=0)) + 1).take(chosen)

    def retention(self) -> list[ClassRetention]:
        """Return, for each class, how many of its scored images are kept."""
        scored, kept = self._by_class(np.ones(len(self._kept), dtype=bool)), self._by_class(self._kept)
        return [
            ClassRetention(*row)
            for row in zip(self.pool.class_names, scored.tolist(), kept.tolist(), strict=True)
        ]


def _all_keep(tables: Sequence[pa.Table]) -> Keep:
    """Return which images all filters keep, (N,) bool, of those that all of them have scored."""
    length = min(map(len, tables))
    keep: Keep = np.all([table["keep"].to_numpy()[:length] for table in tables], axis=0)
    return keep
