"""Test images in a pool: checked when it is made, and kept beside its images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mousterian.data.image_set import ImageSet
from mousterian.data.leakage import stored
from mousterian.data.leakage.stored import LeakRecord
from mousterian.data.loading import load_images
from mousterian.seeds import digest
from mousterian.synthesis.pools import Pool
from mousterian.synthesis.stored_pools import dataset_of, seen_indices

_PREFIX = "leaks"


def file_of(folder: Path, filters: str = "") -> Path:
    """Return the file of a pool's leak check, or of that of the images that filters (their hash) keep."""
    return folder / ("-".join(filter(None, (_PREFIX, filters))) + ".json")


def pool_leaks(
    pool: Pool,
    count: int,
    data_dir: Path | None,
    *,
    filters: str = "",
    read: Callable[[int], ImageSet] | None = None,
) -> LeakRecord:
    """Return what is known of test images among the first `count` images of a pool, or of more of them.

    Unseen real images, with which the test images are compared, are the training images that its generator
    was not trained on; for a generator trained elsewhere all of them, as if it had seen none.

    Args:
        pool: the pool, of which these images exist.
        count: how many, at least 1.
        data_dir: folder of the datasets.
        filters: hash of the filters that keep these images; empty: none.
        read: returns the first images that they keep; default: `pool.read`.

    Raises:
        InputError: the pool or its dataset cannot be read.
    """
    from mousterian.data.leakage.checks import check_pool

    file, dataset = file_of(pool.folder, filters), dataset_of(pool.identity)
    known = stored.read(file)
    images = max(count, int(known.summary["pool_images"])) if known else count
    checked = digest([stored.VERSION, pool.identity.key, filters, images])
    if known and known.checked == checked:
        return known
    train, test = (load_images(dataset, split, data_dir) for split in ("train", "test"))
    seen = seen_indices(pool.identity, train)
    unseen = np.setdiff1d(np.arange(len(train)), seen)
    return stored.kept(
        file,
        digest([stored.VERSION, pool.identity.key, filters, count]),
        lambda: check_pool(
            (read or pool.read)(count), test, train.take(unseen), seen=train.take(seen) if len(seen) else None
        ),
    )
