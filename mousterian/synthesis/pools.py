"""Pools: the synthetic images of one generator, on disk, in a fixed order.

A pool is a folder named by the hash of its identity: `pool.json` (the identity), the generator's weights, and
shards of a fixed number of images (`shards.py`). Image i is of class i mod K, so every prefix is balanced and
a smaller `n_syn_plus` is a prefix of a larger one. A shard depends on the identity and its number alone, so a
pool extended twice equals one generated at once, and all grids can share it. The revisions of the generator's
and the dataset's code are part of the identity: a pool is extended by code of its own revision only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mousterian.data.cache import DAMAGE, data_directory
from mousterian.data.image_set import ImageSet, concatenate
from mousterian.errors import InputError
from mousterian.files import file_lock, write_atomically
from mousterian.plugins import registry
from mousterian.seeds import canonical
from mousterian.synthesis import shards
from mousterian.synthesis.kinds import (
    GeneratorContext,
    Progress,
    adaptive_batches,
    no_progress,
    sampler_inputs,
)
from mousterian.synthesis.pool_identity import DESCRIPTION, ELSEWHERE, PoolIdentity
from mousterian.synthesis.shards import Arrays

_REMAKE = "`mousterian generate GRIDFILE` generates the same images; then run the grid with --retry-failed"


class Pool:
    """One pool in the folder of all pools."""

    def __init__(self, pools: Path, identity: PoolIdentity, class_names: tuple[str, ...]) -> None:
        self.identity = identity
        self.class_names = class_names
        self.folder = pools / identity.key
        self.shard_size = shards.size(len(class_names))
        self._batches = adaptive_batches()

    def _missing(self, count: int) -> list[int]:
        wanted = range(math.ceil(count / self.shard_size))
        return [number for number in wanted if not shards.path(self.folder, number).exists()]

    def ensure(
        self,
        count: int,
        shape: tuple[int, int, int],
        real: Callable[[], ImageSet],
        device: str,
        *,
        progress: Progress = no_progress,
        test: Callable[[], ImageSet] | None = None,
        data_dir: Path | None = None,
        wait: bool = True,
    ) -> None:
        """Generate those shards of the first `count` images that do not exist yet.

        Two processes that need the same pool take turns; the kernel releases the lock when its holder dies.

        Args:
            count: images wanted.
            shape: height, width and channels of one image.
            real: returns the images that the generator is trained on; called only if needed.
            device: torch device name.
            progress: receives the progress of training and sampling.
            test: returns the dataset's test images, for generators that exclude copies of them.
            data_dir: folder of the datasets; None for the default.
            wait: for another process that is generating the pool.

        Raises:
            LockTakenError: another process is generating it, and `wait` is off.
            InputError: the folder cannot be written, the generator raises it, or files that it reads have
                changed.
        """
        if not self._missing(count):
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"cannot create the pool's folder ({error.strerror})"
            raise InputError(what, where=str(self.folder)) from error
        with file_lock(self.folder / "lock", wait=wait) as alone:
            missing = self._missing(count)
            if not missing:
                return
            if alone:
                shards.remove_temporary_files(self.folder)
            description = canonical(self.identity.describe())
            write_atomically(self.folder / DESCRIPTION, description.encode())
            context = GeneratorContext(
                self.class_names, shape, self.identity.seed, device, self.folder, progress, test
            )
            sampler = self._sampler(context, real)
            self._check_unchanged(data_dir)  # once it has listed its files, or read them
            for done, number in enumerate(missing):
                progress("sampling", done * self.shard_size, len(missing) * self.shard_size, "")
                self._make(number, sampler, shape, description)

    def _sampler(self, context: GeneratorContext, real: Callable[[], ImageSet]) -> Any:
        identity = self.identity
        plugin = registry.find("generators", identity.generator)
        plugin.check_revision(identity.revision, identity.options, where=str(self.folder))
        arguments = (context,) if identity.trained_on == ELSEWHERE else (real(), context)
        return plugin.load()(*arguments, **identity.options, **plugin.preset)

    def _check_unchanged(self, data_dir: Path | None) -> None:
        if not self.identity.stamp:
            return
        generator = registry.find("generators", self.identity.generator)
        if generator.stamp(data_directory(data_dir), self.identity.options) != self.identity.stamp:
            what = f"files that the {generator.label} reads have changed since the pool was planned"
            hint = "run the grid again, which makes another pool of what they hold now, or restore them"
            raise InputError(what, where=str(self.folder), hint=hint)

    def _make(self, number: int, sampler: Any, shape: tuple[int, int, int], description: str) -> None:
        first, end = number * self.shard_size, (number + 1) * self.shard_size
        end = min(end, getattr(sampler, "limit", end))
        if end <= first:
            return
        starts = range(first, end, max(1, getattr(sampler, "batch", self.shard_size)))
        made = shards.join_batches(self.folder, starts, end, lambda a, b: self._batch(a, b, sampler, shape))
        shards.add_notes(self.folder, getattr(sampler, "notes", ()))
        shards.write(shards.path(self.folder, number), {**made, "generator": np.array(description)})
        shards.remove_batches(self.folder)

    def _batch(self, first: int, end: int, sampler: Any, shape: tuple[int, int, int]) -> Arrays:
        labels, indices, seeds = sampler_inputs(
            np.arange(first, end), len(self.class_names), self.identity.seed
        )
        parts = self._batches.map(len(labels), lambda s: sampler.sample(labels[s], indices[s], seeds[s]))
        images = np.concatenate(parts)
        if images.shape != (len(labels), *shape) or images.dtype != np.uint8:
            what = f"the generator returned {images.dtype} {images.shape} for {len(labels)} images of {shape}"
            raise InputError(what, where=self.identity.label)
        made = {"images": images, "labels": labels, "seeds": seeds}
        if hasattr(sampler, "prompts"):
            made["prompts"] = np.array(sampler.prompts(labels, indices), dtype=np.str_)
        return made

    def read(self, count: int) -> ImageSet:
        """Return the first `count` images of the pool.

        Raises:
            InputError: a shard is missing or cannot be read.
        """
        numbers = range(math.ceil(count / self.shard_size))
        paths = [path for path in (shards.path(self.folder, n) for n in numbers) if path.exists()]
        parts = [self._images(path) for path in paths or [shards.path(self.folder, 0)]]
        found = sum(map(len, parts))
        if found < count:
            has = f"only {found} images with the classes in turn, and {count} are needed"
            hint = "make r_syn or n_syn_plus smaller, or give the generator more images"
            raise InputError(f"the pool {self.identity.label} has {has}", where=str(self.folder), hint=hint)
        return concatenate(parts).take(np.arange(count))

    def _images(self, path: Path) -> ImageSet:
        arrays = self._arrays(path)
        labels = arrays["labels"]
        return ImageSet(arrays["images"], labels, self.class_names, np.ones(len(labels), dtype=bool))

    def _arrays(self, path: Path) -> Arrays:
        try:
            return shards.read(path)
        except DAMAGE as error:
            what = f"cannot read a shard of the pool {self.identity.label} ({error})"
            raise InputError(what, where=str(path), hint=_REMAKE) from error

    def count(self) -> int:
        """Return the number of images before the first missing or damaged shard; only labels are read."""
        return shards.images_in(self.folder)

    def prompts(self, count: int) -> list[str]:
        """Return the prompts of the first `count` images; none if they were generated without prompts."""
        found: list[str] = []
        for path in shards.existing(self.folder):
            if len(found) < count:
                found += [str(text) for text in self._arrays(path).get("prompts", ())]
        return found[:count]

    def notes(self) -> tuple[str, ...]:
        """Return what its generator left out of its source or converted, as sentences; mostly none."""
        return shards.notes(self.folder)

    def classes(self) -> int:
        """Return the number of classes in the first shard; 0 if it is missing or damaged."""
        try:
            labels = shards.column(shards.path(self.folder, 0), "labels")
        except DAMAGE:
            return 0
        return 0 if labels is None or not len(labels) else int(labels.max()) + 1

    def set_damaged_aside(self) -> Sequence[Path]:
        """Rename every damaged shard, for `ensure` to generate again; return their new paths."""
        with file_lock(self.folder / "lock"):
            return [shards.set_aside(path) for path, _ in faults(self.folder)]


def verify(pools: Path) -> Iterator[tuple[Path, str]]:
    """Yield each damaged shard of the pools in a folder, and what is wrong with it."""
    for folder in sorted(path for path in pools.glob("*") if path.is_dir()):
        yield from faults(folder)


def faults(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each shard of a pool that is damaged or belongs to another pool, and what is wrong with it."""
    try:
        identity = (folder / DESCRIPTION).read_text(encoding="utf-8")
    except OSError:
        identity = ""
    for path in sorted(folder.glob("shard-*.npz")):
        try:
            arrays = shards.read(path)
        except DAMAGE as error:
            yield path, f"not a readable shard ({error})"
            continue
        if identity and str(arrays.get("generator", identity)) != identity:
            yield path, "not a shard of this pool: it comes from another generator"
