"""Measuring pools, with the values saved in the store."""

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
from mousterian.training.feature_spaces import Spaces, space_revision, space_stamp


@dataclass(frozen=True)
class Measure:
    """A quality measure with its options; an empty `features` stands for the default space."""

    plugin: Plugin
    options: Mapping[str, Any]

    def for_space(self, space: str) -> Measure:
        """Return the measure with this feature space, unless its options name one."""
        if self.options.get("features", space):
            return self
        return Measure(self.plugin, {**self.options, "features": space})


def measured(
    inputs: MeasureInputs, measure: Measure, spaces: Spaces, *, store: Path, seed: int, again: bool
) -> list[dict[str, Any]]:
    """Return the rows of one measure of one pool, from the store if it has them.

    Args:
        inputs: the pool and the real images it is compared with.
        measure: the measure with its options.
        spaces: feature spaces, and their device.
        store: folder of the store.
        seed: of random choices.
        again: measure even if the store has the rows.

    Raises:
        InputError: the measure cannot be computed.
    """
    identity = _identity_columns(inputs, measure, spaces.data_dir, seed)
    table = QualityTable(store)
    rows = [] if again else table.rows(identity["measurement"])
    if rows:
        return rows
    points: list[Points] = []
    context = MeasureContext(spaces, inputs.space, seed, inputs.seen, inputs.prompts, points.append)
    started = time.perf_counter()
    values = measure.plugin.load()(inputs.pool, inputs.real, inputs.test, context, **measure.options)
    common = {
        **identity,
        **_pool_columns(inputs),
        "seconds": time.perf_counter() - started,
        "device": _device_label(spaces.device),
        **{name: value for name, value in provenance.columns("").items() if name != "grid"},
    }
    rows = [{**common, "quantity": name, "value": float(value)} for name, value in values.items()]
    for each in points:
        table.write_points(identity["measurement"], _point_columns(each))
    table.write(rows)
    return rows


def _identity_columns(
    inputs: MeasureInputs, measure: Measure, data_dir: Path | None, seed: int
) -> dict[str, Any]:
    """Return everything that determines a measure's values, and its hash."""
    features = measure.options.get("features", "")
    columns = {
        "quality_version": QUALITY_VERSION,
        "pool": inputs.identity.key,
        "images": len(inputs.pool),
        "dataset": inputs.dataset.name,
        "dataset_options": inputs.dataset.json,
        "measure": measure.plugin.name,
        "measure_options": canonical(dict(measure.options)),
        "features": features,
        "features_stamp": _stamp(features, data_dir) if features else "",
        "seed": seed,
    }
    filters = canonical([json.loads(spec.text) for spec in inputs.filters]) if inputs.filters else ""
    revisions = {
        "measure": measure.plugin.revision(measure.options),
        "features": space_revision(features) if features else 1,
        "dataset": inputs.dataset.revision,
    }
    # Only hashed if there are any, so that older measurements keep their hashes.
    hashed = {"filters": filters, "revisions": {k: each for k, each in revisions.items() if each > 1}}
    present = {name: value for name, value in hashed.items() if value}
    measurement = digest({**columns, **present, "dataset_stamp": inputs.dataset.stamp})
    return {"measurement": measurement, **columns, "filters": filters}


@cache
def _stamp(features: str, data_dir: Path | None) -> str:
    """Return the digest of a space's files; cached, as weights may be large."""
    return space_stamp(features, data_dir)


def _pool_columns(inputs: MeasureInputs) -> dict[str, Any]:
    identity = inputs.identity
    return {
        "generator": identity.generator,
        "trained_on": identity.trained_on,
        "n_base": identity.n_base,
        "n_upstream": identity.n_upstream,
        "generator_options": canonical(dict(identity.options)),
        "generator_seed": identity.seed,
        "subset_seed": identity.subset_seed,
        "real_images": len(inputs.real),
        "test_images": len(inputs.test),
    }


def _point_columns(points: Points) -> dict[str, Any]:
    x, y = points.at.T
    return {"x": x, "y": y, "synthetic": points.synthetic, "label": points.labels}


def _device_label(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
