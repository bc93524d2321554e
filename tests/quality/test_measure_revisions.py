"""A measurement is made anew by another revision of its measure, its feature space or its dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mousterian.data.datasets import digits
from mousterian.plugins import registry
from mousterian.quality.inputs import MeasureInputs, measure_inputs
from mousterian.quality.measurement import Measure, measured
from mousterian.store.quality import QualityTable
from mousterian.training.feature_spaces import Spaces


@pytest.fixture
def inputs(tmp_path: Path) -> MeasureInputs:
    train = digits.load("train", tmp_path)
    order = np.argsort(train.labels, kind="stable")
    np.savez(tmp_path / "pool.npz", images=train.images[order], labels=train.labels[order])
    return measure_inputs(tmp_path / "pool.npz", "digits", 100, None)


def test_each_revision_is_measured_once(
    inputs: MeasureInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fid = Measure(registry.find("quality", "fid"), {"features": "pixels"})
    later = Measure(replace(fid.plugin, constants={"REVISION": 2}), fid.options)
    other = replace(inputs, dataset=replace(inputs.dataset, revision=2))

    def measurements(measure: Measure, of: MeasureInputs) -> set[str]:
        rows = measured(of, measure, Spaces(), store=tmp_path / "store", seed=0, again=False)
        return {row["measurement"] for row in rows}

    found = [measurements(fid, inputs), measurements(later, inputs), measurements(fid, other)]
    assert measurements(fid, inputs) == found[0]
    space = registry.find("features", "pixels")
    monkeypatch.setitem(registry.available("features"), "pixels", replace(space, constants={"REVISION": 2}))
    registry.find.cache_clear()
    found.append(measurements(fid, inputs))
    registry.find.cache_clear()
    assert len(set.union(*found)) == QualityTable(tmp_path / "store").read()["measurement"].nunique() == 4
