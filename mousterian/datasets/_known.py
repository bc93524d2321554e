"""Datasets known to the byte: the sums of their arrays are written down, so any source will do."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mousterian.datasets import _cache
from mousterian.datasets._sources import Splits, Way, first
from mousterian.datasets._torchvision import both_splits
from mousterian.images import ImageSet


@dataclass(frozen=True)
class Known:
    """A dataset of torchvision's that can also be had from a package registry.

    Attributes:
        name: ours, e.g. "cifar10"; also its folder in the data directory.
        torchvision_name: torchvision's class, e.g. "CIFAR10".
        layout: folder that torchvision leaves in its root.
        sums: of each split's arrays.
        package: the way through a package registry, for networks that reach nothing else.
    """

    name: str
    torchvision_name: str
    layout: str
    sums: Mapping[str, _cache.Sums]
    package: Way

    def load(self, split: str, data_dir: Path) -> ImageSet:
        """Return a split: kept in the data directory, else from the first way that gives the right sums.

        Raises:
            InputError: no way works; names each with its reason.
        """
        _cache.check_split(split)
        return _cache.remember(self._kept(data_dir, split), lambda: self._fetch(data_dir))

    def origin(self, data_dir: Path) -> _cache.Origin:
        """Return how the images were had and where they are kept."""
        return _cache.origin(self._kept(data_dir, "train"))

    def _kept(self, data_dir: Path, split: str) -> Path:
        return data_dir / self.name / f"{split}.npz"

    def _fetch(self, data_dir: Path) -> _cache.Made:
        def laid_out() -> Splits:
            return both_splits(self.torchvision_name, data_dir, needs=self.layout)

        ways = [
            Way(f"torchvision's files in {data_dir}", laid_out),
            Way("its authors' server, through torchvision", self._download),
            self.package,
        ]
        advice = (
            f"where there is a network, run `mousterian data {self.name}` and copy {self.name}/ from its data"
            f" directory into {data_dir}; or put torchvision's folder {self.layout}/ there"
        )
        return first(self.name, ways, expected=self.sums, advice=advice)

    def _download(self) -> Splits:
        with tempfile.TemporaryDirectory() as folder:
            return both_splits(self.torchvision_name, Path(folder))
