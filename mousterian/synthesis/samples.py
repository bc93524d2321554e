"""Sample sheets for a report: images of a store's pools, and real ones of their datasets."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mousterian.data.loading import load_images
from mousterian.data.sample_sheet import COLUMNS, sheet
from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.store import samples
from mousterian.store.samples import Sheet
from mousterian.synthesis.pool_identity import DESCRIPTION, PoolIdentity
from mousterian.synthesis.pools import Pool
from mousterian.synthesis.stored_pools import dataset_of

if TYPE_CHECKING:
    from mousterian.data.image_set import ImageSet

SHEET = "sheet.png"

_MAX_POOLS = 8  # shown; pools that differ only in their seeds count once
_SAVED_COLUMNS = 8  # images of each class in the sheets that are saved as files


def sheets_of(store: Path, data_dir: Path | None = None) -> tuple[Sheet, ...]:
    """Return sheets of real images and of a store's pools; if it has no pools, the saved sheets beside it.

    Args:
        store: folder of the store.
        data_dir: folder of the datasets; None for the default.

    Raises:
        InputError: a dataset, a pool or a saved sheet cannot be read.
    """
    return _drawn(store, data_dir, COLUMNS) or samples.load(store / samples.FOLDER)


def save_sheets(store: Path, folder: Path, data_dir: Path | None = None) -> list[Path]:
    """Write the sheets of a store's pools to a folder, with fewer columns than in a report of the store.

    Raises:
        InputError: there are no pools, a pool or its dataset cannot be read, or the folder cannot be written.
    """
    sheets = _drawn(store, data_dir, _SAVED_COLUMNS)
    if not sheets:
        raise InputError("no pools to draw samples of", where=str(store / "pools"))
    return samples.save(sheets, folder)


def _drawn(store: Path, data_dir: Path | None, columns: int) -> tuple[Sheet, ...]:
    """Return a sheet of real images for each dataset of a store's pools, and one for each kind of pool."""
    found: dict[str, Sheet] = {}
    for identity in _kinds(store / "pools"):
        dataset = dataset_of(identity)
        real = load_images(dataset, "train", data_dir)
        pool = Pool(store / "pools", identity, real.class_names)
        count = min(pool.count(), columns * len(real.class_names))
        if not count:
            continue
        if dataset.name not in found:
            title = f"Real: {dataset.name}"
            found[dataset.name] = _sheet(title, "The first training images", real, columns)
        title = f"Synthetic: {identity.label}, generator seed {identity.seed}"
        what = "The pool's first images, unselected"
        found[identity.key] = _sheet(title, what, pool.read(count), columns)
    return tuple(found.values())


def _kinds(folder: Path) -> Iterator[PoolIdentity]:
    """Yield one pool of each kind (equal but for seeds), ordered by generator and training set."""
    stored = [PoolIdentity.at(path.parent) for path in sorted(folder.glob(f"*/{DESCRIPTION}"))]
    seen: set[tuple[str, str]] = set()
    for identity in sorted(
        stored,
        key=lambda each: (
            each.generator,
            each.trained_on,
            each.n_base,
            each.label,
            each.subset_seed,
            each.seed,
            each.key,
        ),
    ):
        kind = (identity.label, str(identity.options))
        if kind not in seen and len(seen) < _MAX_POOLS:
            seen.add(kind)
            yield identity


def _sheet(title: str, what: str, images: ImageSet, columns: int) -> Sheet:
    from PIL import Image

    png = sheet(images, columns)
    width, height = Image.open(io.BytesIO(png)).size
    rows = f"{len(images.class_names)} classes"
    alt = f"{title}: sample images, a row for each of {rows}."
    return Sheet(title, f"{what}: a row for each class, up to {columns} of each.", alt, png, width, height)


def draw(pool: Pool) -> None:
    """Draw the sample sheet of a pool's images, if it has any."""
    images = min(pool.count(), COLUMNS * len(pool.class_names))
    if images:
        write_atomically(pool.folder / SHEET, sheet(pool.read(images)))
