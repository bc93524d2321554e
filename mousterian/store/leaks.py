"""What the leak checks of a store's rows say, in sentences: nothing where nothing was found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_Found = Mapping[str, Any]


def sentences(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return what was found of test images in the training set and pools of some rows.

    Args:
        rows: of a store, with the columns `leaks`, `pool` and `n_syn_plus`; other tables say nothing.
    """
    if not {"leaks", "pool", "n_syn_plus"} <= set(rows):
        return ()
    synthetic = rows["n_syn_plus"] > 0
    found = {text: json.loads(text) if text else {} for text in rows["leaks"].fillna("").unique()}
    records = [found[text] for text in rows["leaks"].fillna("")]
    sets = [each["set"] for each in records if each.get("set")]
    pools: dict[str, _Found] = {}
    unchecked = 0
    for pool, made, each in zip(rows["pool"], synthetic, records, strict=True):
        if not each or (made and not each["pool"]):
            unchecked += 1
        elif made and each["pool"]["pool_images"] >= pools.get(pool, {}).get("pool_images", 0):
            pools[pool] = each["pool"]
    said = [*_of_set(sets[-1] if sets else {}), *_of_pools(list(pools.values()))]
    if unchecked:
        said.append(
            f"Leaks were not checked in {unchecked:,} of {len(rows):,} trials: earlier code ran them."
        )
    return tuple(said)


def _of_set(found: _Found) -> list[str]:
    said = []
    if copies := found.get("identical", 0) + found.get("near", 0):
        said.append(
            f"{copies:,} of {found['test_images']:,} test images have a copy in the training set:"
            f" {found['identical']:,} identical, {found['near']:,} near."
        )
    if found.get("reason"):
        said.append(f"allow_test_copies = true let the set pass: {found['reason']}.")
    return said


def _of_pools(pools: Sequence[_Found]) -> list[str]:
    said = []
    if refused := [each for each in pools if each["reason"]]:
        worst = max(refused, key=lambda each: int(each["test_images_copied"]))
        said.append(
            f"allow_test_copies = true let {_pools(refused, pools)} with test images pass:"
            f" {worst['reason']}. What synthetic images are worth here does not hold for new images."
        )
    if near := [each for each in pools if each["nearer_than_chance"] and not each["reason"]]:
        share = max(float(each["nearer_to_test"]) for each in near)
        said.append(
            f"The images of {_pools(near, pools)} lie nearer to the test images than chance allows:"
            f" {100 * share:.0f} % of them are nearer to one than to an unseen real image."
        )
    if real := [each for each in pools if each["holds_training_images"]]:
        said.append(f"Copies of real training images are in {_pools(real, pools)}.")
    if blind := [each for each in pools if not each["calibrated"]]:
        said.append(
            f"The leak check of {_pools(blind, pools)} is uncalibrated: too few real images that the"
            " generator has not seen are left to compare with."
        )
    return said


def _pools(some: Sequence[_Found], pools: Sequence[_Found]) -> str:
    """Name some of the pools by their number.

    >>> _pools([{}], [{}]), _pools([{}], [{}, {}])
    ('the pool', '1 of 2 pools')
    """
    return "the pool" if len(pools) == 1 else f"{len(some)} of {len(pools)} pools"
