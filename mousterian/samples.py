"""Sample sheets for a report: images of a store's pools, and real ones of their datasets."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mousterian import pools
from mousterian.pools import Pool, PoolIdentity
from mousterian.report_store import Sheet
from mousterian.sheets import COLUMNS, sheet
from mousterian.subjects import dataset_of
from mousterian.supply import load_images

if TYPE_CHECKING:
    from mousterian.images import ImageSet

# Pools that differ only in their seeds are shown once, and not more than this many.
_MOST = 8


def sheets_of(store: Path, data_dir: Path | None = None) -> tuple[Sheet, ...]:
    """Return a sheet of real images for each dataset of a store's pools, and one for each kind of pool.

    Args:
        store: folder of the store.
        data_dir: where datasets lie; by default where they always do.

    Raises:
        InputError: a dataset or a pool cannot be read.
    """
    found: dict[str, Sheet] = {}
    for identity in _kinds(store / "pools"):
        dataset = dataset_of(identity)
        real = load_images(dataset, "train", data_dir)
        pool = Pool(store / "pools", identity, real.class_names)
        count = min(pool.count(), COLUMNS * len(real.class_names))
        if not count:
            continue
        if dataset.name not in found:
            found[dataset.name] = _sheet(f"Real: {dataset.name}", "The first training images", real)
        made = f"{identity.label}, generator seed {identity.seed}"
        found[identity.key] = _sheet(
            f"Synthetic: {made}", "The pool's first images, unselected", pool.read(count)
        )
    return tuple(found.values())


def _kinds(folder: Path) -> Iterator[PoolIdentity]:
    """Yield pools that differ in more than seeds, in the order of what they were trained on."""
    there = [PoolIdentity.at(path.parent) for path in sorted(folder.glob(f"*/{pools.DESCRIPTION}"))]
    seen: set[tuple[str, str]] = set()
    for identity in sorted(there, key=lambda each: (each.label, each.subset_seed, each.seed, each.key)):
        kind = (identity.label, str(identity.options))
        if kind not in seen and len(seen) < _MOST:
            seen.add(kind)
            yield identity


def _sheet(title: str, what: str, images: ImageSet) -> Sheet:
    from PIL import Image

    png = sheet(images)
    width, height = Image.open(io.BytesIO(png)).size
    rows = f"{len(images.class_names)} classes"
    alt = f"{title}: sample images, a row for each of {rows}."
    return Sheet(title, f"{what}, up to {COLUMNS} of each class.", alt, png, width, height)
