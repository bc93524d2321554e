"""Pools: the synthetic images of one generator, on disk, in a fixed order.

A pool is a folder named by the hash of its identity: `pool.json` (the identity), the generator's weights, and
shards of a fixed number of images (`shards.py`). Image i is of class i mod K, so every prefix is balanced and
a smaller `n_syn_plus` is a prefix of a larger one. A shard depends on the identity and its number alone, so a
pool extended twice equals one generated at once, and all grids can share it. The revisions of the generator's
and the dataset's code are part of the identity: a pool is extended by code of its own revision only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mousterian.data.cache import DAMAGE
from mousterian.data.image_set import ImageSet, concatenate
from mousterian.errors import InputError
from mousterian.files import file_lock, write_atomically
from mousterian.plugins import registry
from mousterian.seeds import canonical, digest
from mousterian.synthesis import shards
from mousterian.synthesis.kinds import (
    GeneratorContext,
    Progress,
    adaptive_batches,
    no_progress,
    sampler_inputs,
)
from mousterian.synthesis.shards import Arrays

POOL_VERSION = 1  # incremented whenever the same identity would give different images
BASE, UPSTREAM, ELSEWHERE = "base", "upstream", "elsewhere"
DESCRIPTION = "pool.json"
_REMAKE = "`mousterian generate GRIDFILE` generates the same images; then run the grid with --retry-failed"


@dataclass(frozen=True)
class PoolIdentity:
    """Everything that determines a pool's images.

    Attributes:
        generator: generator plug-in.
        options: all its options.
        stamp: digest of the files that they name.
        seed: seed of its training and sampling.
        trained_on: base (internal), upstream (external, trained here) or elsewhere (external, pre-trained).
        dataset: dataset plug-in and options, `{"name": ..., "options": ...}`.
        subset_seed: of the subset that it was trained on; 0 for elsewhere.
        imbalance: imbalance factor of S_base; 1 unless trained on base.
        n_base: size of S_base; 0 unless trained on base.
        n_upstream: size of the upstream set; 0 unless trained on upstream.
        revision: of the generator's code.
    """

    generator: str
    options: Mapping[str, Any]
    stamp: str
    seed: int
    trained_on: str
    dataset: Mapping[str, Any]
    subset_seed: int
    imbalance: float
    n_base: int
    n_upstream: int
    revision: int = 1

    def describe(self) -> dict[str, Any]:
        """Return the identity as JSON-like values, the revision from 2 on."""
        names = [each.name for each in fields(self) if each.name != "revision" or self.revision > 1]
        values = {name: getattr(self, name) for name in names}
        values |= {"options": dict(self.options), "dataset": dict(self.dataset)}
        return {"version": POOL_VERSION, **values}

    @classmethod
    def at(cls, folder: Path) -> PoolIdentity:
        """Return the identity of the pool in a folder.

        Raises:
            InputError: its description is missing or damaged.
        """
        try:
            values = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            return cls(**{each.name: values[each.name] for each in fields(cls) if each.name in values})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"cannot read this pool's identity ({error})",
                where=str(folder / DESCRIPTION),
                hint="run its grid again: the file is rewritten",
            ) from None

    @cached_property
    def key(self) -> str:
        """The pool's name: 16 hexadecimal digits."""
        return digest(self.describe())

    @property
    def label(self) -> str:
        """Human-readable name, e.g. "edm trained on base of 300"."""
        sources = {
            BASE: f"on base of {self.n_base}",
            UPSTREAM: f"on upstream of {self.n_upstream}",
            ELSEWHERE: "elsewhere",
        }
        return f"{self.generator} trained {sources[self.trained_on]}"


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
            wait: for another process that is generating the pool.

        Raises:
            LockTakenError: another process is generating it, and `wait` is off.
            InputError: the pool's folder cannot be written, or the generator raises it.
        """
        if not self._missing(count):
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot create the pool's folder ({error.strerror})", where=str(self.folder)
            ) from error
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
            for done, number in enumerate(missing):
                progress("sampling", done * self.shard_size, len(missing) * self.shard_size, "")
                self._make(number, sampler, shape, description)

    def _sampler(self, context: GeneratorContext, real: Callable[[], ImageSet]) -> Any:
        identity = self.identity
        plugin = registry.find("generators", identity.generator)
        plugin.check_revision(identity.revision, identity.options, where=str(self.folder))
        arguments = (context,) if identity.trained_on == ELSEWHERE else (real(), context)
        return plugin.load()(*arguments, **identity.options, **plugin.preset)

    def _make(self, number: int, sampler: Any, shape: tuple[int, int, int], description: str) -> None:
        first, end = number * self.shard_size, (number + 1) * self.shard_size
        end = min(end, getattr(sampler, "limit", end))
        if end <= first:
            return
        starts = range(first, end, max(1, getattr(sampler, "batch", self.shard_size)))
        made = shards.join_batches(self.folder, starts, end, lambda a, b: self._batch(a, b, sampler, shape))
        shards.write(shards.path(self.folder, number), {**made, "generator": np.array(description)})
        shards.remove_batches(self.folder)

    def _batch(self, first: int, end: int, sampler: Any, shape: tuple[int, int, int]) -> Arrays:
        labels, indices, seeds = sampler_inputs(
            np.arange(first, end), len(self.class_names), self.identity.seed
        )
        parts = self._batches.map(len(labels), lambda s: sampler.sample(labels[s], indices[s], seeds[s]))
        images = np.concatenate(parts)
        if images.shape != (len(labels), *shape) or images.dtype != np.uint8:
            raise InputError(
                f"the generator returned {images.dtype} {images.shape} for {len(labels)} images of {shape}",
                where=self.identity.label,
            )
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
            raise InputError(
                f"the pool {self.identity.label} has only {found} images with the classes in turn,"
                f" and {count} are needed",
                where=str(self.folder),
                hint="make r_syn or n_syn_plus smaller, or give the generator more images",
            )
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
        return images_in(self.folder)

    def prompts(self, count: int) -> list[str]:
        """Return the prompts of the first `count` images; none if they were generated without prompts."""
        found: list[str] = []
        for path in shards.existing(self.folder):
            if len(found) < count:
                found += [str(text) for text in self._arrays(path).get("prompts", ())]
        return found[:count]

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


def images_in(folder: Path) -> int:
    """Return the number of images before a pool's first missing or damaged shard; only labels are read."""
    found = 0
    for path in shards.existing(folder):
        try:
            labels = shards.column(path, "labels")
        except DAMAGE:
            break
        found += 0 if labels is None else len(labels)
    return found


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
