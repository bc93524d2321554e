"""A store's pools by name, and the dataset and real images that their generators saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mousterian.data import subsets
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError, unknown_name
from mousterian.plugins.choice import Choice
from mousterian.synthesis.pools import ELSEWHERE, UPSTREAM, PoolIdentity

_HINT = "name a pool by the first digits of its hash, by its folder, or other images by their path"


def pool_folders(pools: Sequence[str], store: Path) -> list[Path]:
    """Return the folder or file of each pool that a command names; without names, all of the store.

    Raises:
        InputError: no pool is there, or one that is named is not, or is not the only one.
    """
    there = {path.parent.name: path.parent for path in sorted((store / "pools").glob("*/pool.json"))}
    if not pools and not there:
        raise InputError("there are no pools here", where=str(store), hint=_HINT)
    return [_place(name, there) for name in pools] or list(there.values())


def _place(name: str, there: dict[str, Path]) -> Path:
    found = [folder for key, folder in there.items() if key.startswith(name)]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise InputError(
            f"{name!r} begins the hash of {len(found)} pools", hint=", ".join(f.name for f in found)
        )
    if (path := Path(name).expanduser()).exists():
        return path
    raise unknown_name("pool", name, there, hint=_HINT)


def dataset_of(identity: PoolIdentity) -> Choice:
    """Return the dataset that a pool was made for."""
    own = identity.dataset
    return Choice(own["name"], own["options"], own.get("stamp", ""))


def seen_indices(identity: PoolIdentity, train: ImageSet) -> subsets.Indices:
    """Return which training images a generator has seen; none where it was made elsewhere."""
    labels, classes, seed = train.labels, len(train.class_names), identity.subset_seed
    nothing = np.zeros(0, dtype=np.int64)
    if identity.trained_on == ELSEWHERE:
        return nothing
    if identity.trained_on == UPSTREAM:
        return subsets.upstream(labels, classes, seed, identity.n_upstream, nothing)
    return subsets.ordering(labels, classes, seed, identity.imbalance)[: identity.n_base]
