"""A store's pools by name, and the dataset and training images of their generators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mousterian.data import subsets
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError, unknown_name
from mousterian.plugins.choice import Choice
from mousterian.synthesis.pool_identity import ELSEWHERE, UPSTREAM, PoolIdentity

_HINT = "name a pool by the first digits of its hash, by its folder, or other images by their path"


def pool_folders(pools: Sequence[str], store: Path) -> list[Path]:
    """Return the folder or file of each named pool; without names, of all pools of the store.

    Raises:
        InputError: there is no pool, or a name is unknown or ambiguous.
    """
    stored = {path.parent.name: path.parent for path in sorted((store / "pools").glob("*/pool.json"))}
    if not pools and not stored:
        raise InputError("there are no pools here", where=str(store), hint=_HINT)
    return [_pool_path(name, stored) for name in pools] or list(stored.values())


def _pool_path(name: str, stored: dict[str, Path]) -> Path:
    found = [folder for key, folder in stored.items() if key.startswith(name)]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise InputError(
            f"{name!r} begins the hash of {len(found)} pools", hint=", ".join(f.name for f in found)
        )
    if (path := Path(name).expanduser()).exists():
        return path
    raise unknown_name("pool", name, stored, hint=_HINT)


def dataset_of(identity: PoolIdentity) -> Choice:
    """Return the dataset that a pool was generated for."""
    return Choice.described(identity.dataset)


def seen_indices(identity: PoolIdentity, train: ImageSet) -> subsets.Indices:
    """Return the training images that a generator has seen; none if it was trained elsewhere."""
    labels, classes, seed = train.labels, len(train.class_names), identity.subset_seed
    nothing = np.zeros(0, dtype=np.int64)
    if identity.trained_on == ELSEWHERE:
        return nothing
    if identity.trained_on == UPSTREAM:
        return subsets.upstream(labels, classes, seed, identity.n_upstream, nothing)
    return subsets.ordering(labels, classes, seed, identity.imbalance)[: identity.n_base]
