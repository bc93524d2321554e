"""Pools: the synthetic images of one generator, on disk, in a fixed order.

A pool is a folder named by the hash of its identity: `pool.json` (the identity), the generator's own
weights, and shards of a fixed number of images. Image i is of class i mod K, so every prefix is balanced and
a smaller `n_syn_plus` is a prefix of a larger one. A shard's content follows from the identity and its
number alone, so a pool extended twice equals a pool made at once, and shards can be shared by all grids.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian import plugins
from mousterian.errors import InputError
from mousterian.images import ImageSet, concatenate
from mousterian.locks import held
from mousterian.seeds import canonical, digest, seed_for
from mousterian.store import write_atomically

POOL_VERSION = 1  # raised whenever the same identity would give other images
IMAGES_A_SHARD = 256
# What reading a damaged shard raises, by where the damage is.
DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
BASE, UPSTREAM, ELSEWHERE = "base", "upstream", "elsewhere"


@dataclass(frozen=True)
class PoolIdentity:
    """All that decides a pool's images.

    Attributes:
        generator: generator plug-in.
        options: all its options.
        stamp: of the files that they name.
        seed: seed of its training and sampling.
        trained_on: base (internal), upstream (external, trained here) or elsewhere (external).
        dataset: dataset plug-in and options, `{"name": ..., "options": ...}`.
        subset_seed: the subsets that it was trained on belong to; 0 for elsewhere.
        imbalance: of S_base; 1 unless trained on base.
        n_base: size of S_base; 0 unless trained on base.
        n_upstream: size of the upstream set; 0 unless trained on upstream.
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

    def describe(self) -> dict[str, Any]:
        """Return the identity as JSON-like values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            "version": POOL_VERSION,
            **values,
            "options": dict(self.options),
            "dataset": dict(self.dataset),
        }

    @cached_property
    def key(self) -> str:
        """The pool's name: 16 hexadecimal digits."""
        return digest(self.describe())

    @property
    def label(self) -> str:
        """What a person calls it, e.g. "edm trained on base of 300"."""
        sizes = {BASE: f" of {self.n_base}", UPSTREAM: f" of {self.n_upstream}", ELSEWHERE: ""}
        return f"{self.generator} trained on {self.trained_on}{sizes[self.trained_on]}".replace(
            "on else", "else"
        )


class Pool:
    """One pool under the folder of all pools."""

    def __init__(self, pools: Path, identity: PoolIdentity, class_names: tuple[str, ...]) -> None:
        self.identity = identity
        self.class_names = class_names
        self.folder = pools / identity.key
        classes = len(class_names)
        self.shard_size = classes * math.ceil(IMAGES_A_SHARD / classes)

    def _shard(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.npz"

    def _missing(self, count: int) -> list[int]:
        return [n for n in range(math.ceil(count / self.shard_size)) if not self._shard(n).exists()]

    def ensure(
        self, count: int, shape: tuple[int, int, int], real: Callable[[], ImageSet], device: str
    ) -> None:
        """Make the shards that the first `count` images need and that are not there yet.

        Two processes that want the same pool take turns; the kernel frees the lock when its holder dies.

        Args:
            count: images wanted.
            shape: height, width and channels of one image.
            real: gives the images that the generator is trained on; called only if needed.
            device: torch device name.
        """
        if not self._missing(count):
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot make the pool's folder ({error.strerror})", where=str(self.folder)
            ) from error
        with held(self.folder / "lock"):
            missing = self._missing(count)
            if not missing:
                return
            description = canonical(self.identity.describe())
            write_atomically(self.folder / "pool.json", description.encode())
            sampler = self._sampler(shape, real, device)
            limit = getattr(sampler, "limit", None)
            for number in missing:
                self._make(number, sampler, shape, description, limit)

    def _sampler(self, shape: tuple[int, int, int], real: Callable[[], ImageSet], device: str) -> Any:
        from mousterian.generators._sampler import Context

        identity = self.identity
        context = Context(self.class_names, shape, identity.seed, device, self.folder)
        plugin = plugins.find("generators", identity.generator)
        given = (context,) if identity.trained_on == ELSEWHERE else (real(), context)
        return plugin.load()(*given, **identity.options, **plugin.preset)

    def _make(
        self, number: int, sampler: Any, shape: tuple[int, int, int], description: str, limit: int | None
    ) -> None:
        classes = len(self.class_names)
        positions = np.arange(number * self.shard_size, (number + 1) * self.shard_size, dtype=np.int64)
        if limit is not None:
            positions = positions[positions < limit]
        if not len(positions):
            return
        labels, indices = positions % classes, positions // classes
        seeds = np.array([seed_for("image", self.identity.seed, int(p)) for p in positions], dtype=np.int64)
        images = sampler.sample(labels, indices, seeds)
        if images.shape != (len(labels), *shape) or images.dtype != np.uint8:
            raise InputError(
                f"the generator gave {images.dtype} {images.shape} for {len(labels)} images of {shape}",
                where=self.identity.label,
            )
        buffer = io.BytesIO()
        np.savez(buffer, images=images, labels=labels, seeds=seeds, generator=np.array(description))
        write_atomically(self._shard(number), buffer.getvalue())

    def read(self, count: int) -> ImageSet:
        """Return the first `count` images of the pool.

        Raises:
            InputError: a shard is missing or cannot be read.
        """
        numbers = [n for n in range(math.ceil(count / self.shard_size)) if self._shard(n).exists()]
        parts = [self._read_shard(number) for number in numbers or [0]]
        there = sum(map(len, parts))
        if there < count:
            raise InputError(
                f"the pool {self.identity.label} has only {there} images with the classes taking turns,"
                f" and {count} are asked for",
                where=str(self.folder),
                hint="make r_syn or n_syn_plus smaller, or give the generator more images",
            )
        return concatenate(parts).take(np.arange(count))

    def _read_shard(self, number: int) -> ImageSet:
        path = self._shard(number)
        try:
            images, labels = _arrays(path)
        except DAMAGE as error:
            raise InputError(
                f"cannot read a shard of the pool {self.identity.label} ({error})",
                where=str(path),
                hint="delete that file and run the grid with --retry-failed: the same images are made anew",
            ) from error
        return ImageSet(images, labels, self.class_names, np.ones(len(labels), dtype=bool))


def verify(pools: Path) -> Iterator[tuple[Path, str]]:
    """Yield each shard under a folder that cannot be read, and what is wrong with it."""
    for path in sorted(pools.glob("*/shard-*.npz")):
        try:
            _arrays(path)
        except DAMAGE as error:
            yield path, f"not a readable shard ({error})"


def _arrays(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(path, allow_pickle=False) as file:
        return file["images"], file["labels"]
