"""What `mousterian quality` does: measures pools, keeps the values in the store and shows them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mousterian.plugins.spec import Plugin
from mousterian.quality.inputs import MeasureInputs
from mousterian.quality.kinds import MeasureContext, Points
from mousterian.seeds import canonical, digest
from mousterian.store import provenance
from mousterian.store.quality import QUALITY_VERSION, QualityTable
from mousterian.training.feature_spaces import Spaces, space_stamp


@dataclass(frozen=True)
class Measure:
    """A quality measure with the values of its options; `features` is empty where the pool decides."""

    plugin: Plugin
    options: Mapping[str, Any]

    def for_space(self, space: str) -> Measure:
        """Return the measure with that feature space where it has not chosen one."""
        if self.options.get("features", space):
            return self
        return Measure(self.plugin, {**self.options, "features": space})


def measured(
    each: MeasureInputs, measure: Measure, spaces: Spaces, *, store: Path, seed: int, again: bool
) -> list[dict[str, Any]]:
    """Return the rows of one measure of one pool, from the store where it has them.

    Args:
        each: the pool and the real images it is measured against.
        measure: the measure with its options.
        spaces: feature spaces, and the device they are computed on.
        store: folder of the store.
        seed: of what is drawn.
        again: measure even what the store has.

    Raises:
        InputError: the measure cannot be taken.
    """
    identity = _identity_columns(each, measure, spaces.data_dir, seed)
    kept = QualityTable(store)
    rows = [] if again else kept.rows(identity["measurement"])
    if rows:
        return rows
    points: list[Points] = []
    context = MeasureContext(spaces, each.space, seed, each.seen, each.prompts, points.append)
    started = time.perf_counter()
    values = measure.plugin.load()(each.pool, each.real, each.test, context, **measure.options)
    common = {
        **identity,
        **_pool_columns(each),
        "seconds": time.perf_counter() - started,
        "device": _device_label(spaces.device),
        **{name: value for name, value in provenance.columns("").items() if name != "grid"},
    }
    rows = [{**common, "quantity": name, "value": float(value)} for name, value in values.items()]
    for picture in points:
        kept.write_points(identity["measurement"], _point_columns(picture))
    kept.write(rows)
    return rows


def _identity_columns(
    each: MeasureInputs, measure: Measure, data_dir: Path | None, seed: int
) -> dict[str, Any]:
    """Return all that decides a measure's values, and the hash of it."""
    features = measure.options.get("features", "")
    columns = {
        "quality_version": QUALITY_VERSION,
        "pool": each.identity.key,
        "images": len(each.pool),
        "dataset": each.dataset.name,
        "dataset_options": each.dataset.json,
        "measure": measure.plugin.name,
        "measure_options": canonical(dict(measure.options)),
        "features": features,
        "features_stamp": _stamp(features, data_dir) if features else "",
        "seed": seed,
    }
    filters = canonical([json.loads(sieve.text) for sieve in each.sieves]) if each.sieves else ""
    # Left out where there are none, so that older measurements of whole pools keep their names.
    named = {"filters": filters} if filters else {}
    measurement = digest({**columns, **named, "dataset_stamp": each.dataset.stamp})
    return {"measurement": measurement, **columns, "filters": filters}


@cache
def _stamp(features: str, data_dir: Path | None) -> str:
    """Return the stamp of a space's files; read once, as weights may be large."""
    return space_stamp(features, data_dir)


def _pool_columns(each: MeasureInputs) -> dict[str, Any]:
    identity = each.identity
    return {
        "generator": identity.generator,
        "trained_on": identity.trained_on,
        "n_base": identity.n_base,
        "n_upstream": identity.n_upstream,
        "generator_options": canonical(dict(identity.options)),
        "generator_seed": identity.seed,
        "subset_seed": identity.subset_seed,
        "real_images": len(each.real),
        "test_images": len(each.test),
    }


def _point_columns(points: Points) -> dict[str, Any]:
    x, y = points.at.T
    return {"x": x, "y": y, "synthetic": points.synthetic, "label": points.labels}


def _device_label(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
