"""Figure 1 b: the scatter plot of real and synthetic features that `mousterian quality` saves."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from test_store_figures import fitted, store

from mousterian.errors import InputError
from mousterian.reporting.figures import feature_subspace
from mousterian.store.quality import QualityTable

QUANTITIES = {
    "subspace_overlap": 0.5,
    "subspace_overlap_of_test": 0.9,
    "real_variance_in_synthetic": 0.75,
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> QualityTable:
    """A copy of the other figures' store, with the points of one pool: synthetic images 4 to the right."""
    table = QualityTable(shutil.copytree(store(), tmp_path_factory.mktemp("measured") / "store"))
    base = {
        "pool": "pool-50",
        "measure": "subspace",
        "features": "pixels",
        "images": 300,
        "finished_at": "1",
    }
    rows = [{**base, "quality_version": 1, "measurement": "s", "quantity": name, "value": value}
            for name, value in QUANTITIES.items()]  # fmt: skip
    table.write(rows)
    synthetic = np.arange(600) % 2 == 1
    at = np.random.default_rng(0).normal(0, 1, (600, 2)) * (3, 1) + 4 * synthetic[:, None] * (1, 0)
    table.write_points(
        "s", {"x": at[:, 0], "y": at[:, 1], "synthetic": synthetic, "label": np.arange(600) % 4}
    )
    return table


def test_the_figure_shows_the_pool_at_the_base_size_and_its_overlap(
    measured: QualityTable,
) -> None:
    figure = feature_subspace.draw(fitted(), store=str(measured.folder.parent), n_base=50)
    assert ET.fromstring(figure.svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert figure.data["kind"].value_counts().to_dict() == {"real": 250, "synthetic": 250}
    centres = figure.data.groupby("kind")["x"].mean()
    assert centres["synthetic"] - centres["real"] == pytest.approx(4, abs=0.6)
    assert "overlap by 0.50" in figure.caption and "reach 0.90" in figure.caption and "75 %" in figure.caption
    assert "apart" in figure.alt and "pixels" in figure.title
    assert (
        len(feature_subspace.draw(fitted(), store=str(measured.folder.parent), n_base=50, points=20).data)
        == 40
    )


def test_missing_measurements_are_named(measured: QualityTable) -> None:
    with pytest.raises(InputError, match="no pool of this arm at 200 base images"):
        feature_subspace.draw(fitted(), store=str(measured.folder.parent), n_base=200)
    path: Path = measured.points_file("s")
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(InputError, match="cannot be read") as caught:
        feature_subspace.draw(fitted(), store=str(measured.folder.parent), n_base=50)
    assert "--again" in caught.value.hint
    path.write_bytes(content)
