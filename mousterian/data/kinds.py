"""What a dataset plug-in's module has; ours are the files of `datasets/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mousterian.data.cache import Checksums, Origin
from mousterian.data.image_set import ImageSet
from mousterian.plugins.kinds import WithMembers, WithStamp, plugin_kind


class DatasetWithOrigin(Protocol):
    """A dataset that can say where its images came from, for `mousterian data`."""

    def origin(self, data_dir: Path, /, *args: Any, **options: Any) -> Origin:
        """Return the source of the images in words, and the path of their file or folder.

        It is called after `load`, with the same options.
        """
        ...


class DatasetWithChecksums(Protocol):
    """A dataset whose decoded images are known, so that `mousterian data` can verify them."""

    @property
    def CHECKSUMS(self) -> Mapping[str, Checksums]:
        """The sha256 sums of each split, as `mousterian.data.cache.checksums` computes them."""


@plugin_kind("datasets", optional=(WithStamp, WithMembers, DatasetWithOrigin, DatasetWithChecksums))
class DatasetPlugin(Protocol):
    """A dataset with a training and a test split of the same classes and image size."""

    def load(self, split: str, data_dir: Path, /, *args: Any, **options: Any) -> ImageSet:
        """Return all images of a split, in an order that is always the same.

        Subsets are drawn by position, so that another order is another dataset.

        Args:
            split: "train" or "test".
            data_dir: folder of the datasets, where what is downloaded or decoded may be kept.
            options: the plug-in's own.

        Returns:
            Images (N, H, W, C) uint8 with C = 1 or 3, labels (N,) int64, and the K class names.

        Raises:
            InputError: the images cannot be had, or a file is damaged.
        """
        ...
