"""Filtered pools: the images of a pool that its filters keep, each class in its order.

A filter's scores lie in POOL/filters/HASH.parquet, one row for each image; no image is ever deleted. Image j
of a filtered pool is of class j mod K and is the next image of that class that every filter keeps, so a
smaller filtered pool is the beginning of a larger one too.
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
from mousterian.synthesis.kinds import Progress, silent
from mousterian.synthesis.pools import Pool

MOST = 20  # times as many images as are asked for are made at most, before a filter is told to be too strict


@dataclass(frozen=True)
class FilterInputs:
    """What filters may look at.

    Attributes:
        real: gives S_base.
        test: gives the dataset's test images.
        device: torch device name.
        data_dir: folder of the datasets; None for the default.
    """

    real: Callable[[], ImageSet]
    test: Callable[[], ImageSet]
    device: str
    data_dir: Path | None


@dataclass(frozen=True)
class Share:
    """How many images of one class were looked at, and how many of them all filters keep."""

    class_name: str
    images: int
    kept: int


@dataclass
class Filtered:
    """The images of a pool that every filter keeps."""

    pool: Pool
    sieves: Sequence[FilterSpec]
    _kept: Keep = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def ensure(
        self, count: int, make: Callable[[int], None], sight: FilterInputs, progress: Progress = silent
    ) -> None:
        """Make and score so many images of the pool that `count` of them are kept, every class in its turn.

        Args:
            count: images wanted.
            make: makes the first so many images of the pool, as far as there can be so many.
            sight: what filters may look at.
            progress: is told how far it is.

        Raises:
            InputError: a class falls short though `MOST` times as many images were made, or no more can be.
        """
        wanted = self._wanted(count)
        images = count
        while True:
            make(images)
            there = self.pool.count()
            self._kept = self._scored(min(images, there), sight, progress)
            kept = self._by_class(self._kept)
            if np.all(kept >= wanted):
                return
            if there < images or images >= MOST * count:
                raise self._falls_short(wanted, kept)
            share = np.min(np.maximum(kept, 0.5) / np.maximum(wanted, 1))
            images = min(MOST * count, max(images + self.pool.shard_size, math.ceil(1.1 * images / share)))

    def _wanted(self, count: int) -> NDArray[np.int64]:
        classes = len(self.pool.class_names)
        return (count + classes - 1 - np.arange(classes)) // classes

    def _by_class(self, marks: Keep) -> NDArray[np.int64]:
        classes = len(self.pool.class_names)
        return np.bincount(np.flatnonzero(marks) % classes, minlength=classes)

    def _falls_short(self, wanted: NDArray[np.int64], kept: NDArray[np.int64]) -> InputError:
        names = self.pool.class_names
        short = [f"{names[k]} ({kept[k]} of {wanted[k]})" for k in np.flatnonzero(kept < wanted)]
        filters = ", ".join(sieve.name for sieve in self.sieves)
        return InputError(
            f"too few images of the pool {self.pool.identity.label} pass its filters ({filters}):"
            f" {first_of(short)}, of {len(self._kept)} that were looked at",
            where=str(self.pool.folder),
            hint="make the filter less strict, r_syn or n_syn_plus smaller, or use a better generator",
        )

    def _scored(self, count: int, sight: FilterInputs, progress: Progress) -> Keep:
        """Return which of the pool's first images, whole shards of them, every filter keeps."""
        kept = [self._one(sieve, count, sight, progress) for sieve in self.sieves]
        length = min(map(len, kept))
        both: Keep = np.all([each[:length] for each in kept], axis=0)
        return both

    def _one(self, sieve: FilterSpec, count: int, sight: FilterInputs, progress: Progress) -> Keep:
        folder = self.pool.folder
        path = filter_scores.file_of(folder, sieve)
        path.parent.mkdir(exist_ok=True)
        with file_lock(path.with_suffix(".lock")):
            table = filter_scores.read(folder, sieve)
            if len(table) < count:
                progress(f"filter {sieve.name}", len(table), count, "")
                table = self._extended(table, sieve, count, sight)
                filter_scores.write(folder, sieve, table)
        keep: Keep = table["keep"].to_numpy()
        return keep

    def _extended(self, table: pa.Table, sieve: FilterSpec, count: int, sight: FilterInputs) -> pa.Table:
        from mousterian.synthesis.kinds import FilterContext

        size = self.pool.shard_size
        done = len(table) // size * size  # a last shard that was short may have grown
        end = min(math.ceil(count / size) * size, self.pool.count())
        images = self.pool.read(end)

        def earlier() -> ImageSet | None:
            return images.take(np.arange(done)) if done else None

        context = FilterContext(sight.device, sight.data_dir, size, earlier, sight.test)
        plugin = registry.find("filters", sieve.name)
        new = images.take(np.arange(done, end))
        keep, score = plugin.load()(new, sight.real(), context, **sieve.options, **plugin.preset)
        if keep.shape != (len(new),) or score.shape != (len(new),):
            raise InputError(
                f"the filter gave {keep.shape} marks and {score.shape} scores for {len(new)} images",
                where=f"filter {sieve.name}",
            )
        return pa.concat_tables(
            [table.slice(0, done), filter_scores.as_table(np.arange(done, end), keep, score, sieve)]
        )

    @classmethod
    def as_scored(cls, pool: Pool, sieves: Sequence[FilterSpec]) -> Filtered:
        """Return what the scores that are there keep, of the images that every filter has looked at."""
        marks = [filter_scores.read(pool.folder, each)["keep"].to_numpy() for each in sieves]
        length = min(map(len, marks))
        return cls(pool, sieves, np.all([each[:length] for each in marks], axis=0))

    def positions(self, count: int = 0) -> NDArray[np.int64]:
        """Return where in the pool its first `count` kept images are; 0: until the first class runs out."""
        classes = len(self.pool.class_names)
        kept = np.flatnonzero(self._kept)
        turns = np.empty(len(kept), dtype=np.int64)
        for label in range(classes):
            mine = kept % classes == label
            turns[mine] = np.arange(mine.sum())
        limit = np.min(self._by_class(self._kept) * classes + np.arange(classes))
        return kept[np.lexsort((kept % classes, turns))][: count or int(limit)]

    def read(self, count: int) -> ImageSet:
        """Return the first `count` images that are kept; `ensure` has made and scored them."""
        chosen = self.positions(count)
        return self.pool.read(int(chosen.max(initial=0)) + 1).take(chosen)

    def shares(self) -> list[Share]:
        """Return, for each class, how many of the images looked at are kept."""
        seen, kept = self._by_class(np.ones(len(self._kept), dtype=bool)), self._by_class(self._kept)
        return [Share(*row) for row in zip(self.pool.class_names, seen.tolist(), kept.tolist(), strict=True)]
