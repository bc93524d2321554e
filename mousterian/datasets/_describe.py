"""What `mousterian data NAME` says of a dataset."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mousterian import plugins
from mousterian.datasets._cache import SPLITS, Origin, data_directory, sums
from mousterian.images import ImageSet


def describe(name: str, options: Mapping[str, Any], data_dir: Path | None) -> dict[str, Any]:
    """Load both splits of a dataset, fetching it if need be, and say what and where it is.

    Args:
        name: dataset plug-in.
        options: its options, as in a grid file.
        data_dir: the data directory; None for the default one.

    Returns:
        name; data_dir; source: how it was had; path: where it lies; verified: whether the sha256 sums of its
        arrays are those its plug-in writes down in SUMS (False where it has none; a set that has the wrong
        sums is not verified); known_sums: whether it has any; shape: height, width and channels of an image;
        classes: their names; splits: for "train" and "test" count, smallest_class and largest_class (images),
        images_sha256 and labels_sha256.

    Raises:
        InputError: no such dataset or option, or it cannot be had.
    """
    plugin = plugins.find("datasets", name)
    values = {**plugin.resolve(options), **plugin.preset}
    folder = data_directory(data_dir)
    load = plugin.load()
    sets = {split: load(split, folder, **values) for split in SPLITS}
    found = {split: sums(images) for split, images in sets.items()}
    # A plug-in's file may have SUMS and origin(data_dir, *, its options); neither is a must.
    module = importlib.import_module(plugin.module)
    known = getattr(module, "SUMS", None)
    where = getattr(module, "origin", None)
    lies = where(folder, **values) if where else Origin(f"the plug-in {plugin.module}", Path())
    return {
        "name": name,
        "data_dir": str(folder),
        "source": lies.source,
        "path": str(lies.path) if lies.path.name else "",
        "known_sums": known is not None,
        "verified": found == known,
        "shape": list(sets["train"].shape),
        "classes": list(sets["train"].class_names),
        "splits": {
            split: {
                **_counts(images),
                **{f"{part}_sha256": value for part, value in found[split]._asdict().items()},
            }
            for split, images in sets.items()
        },
    }


def _counts(images: ImageSet) -> dict[str, int]:
    counts = np.bincount(images.labels, minlength=len(images.class_names))
    return {"count": len(images), "smallest_class": int(counts.min()), "largest_class": int(counts.max())}
