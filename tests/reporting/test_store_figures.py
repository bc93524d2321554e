"""What a report takes from the store: figures of its trials, device time, failures, provenance."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest

from mousterian.__main__ import main
from mousterian.api import Fit, fit
from mousterian.errors import InputError
from mousterian.fitting.arms import arms
from mousterian.plugins import registry
from mousterian.reporting.figures import device_time, per_class_gains, pool_quality
from mousterian.reporting.page import About, contents, render
from mousterian.store.quality import QualityTable
from mousterian.store.rows import Store
from mousterian.store.schema import COLUMNS

CLASSES = 4
# Class 0 gains most from synthetic images, class 3 loses.
GAINS = np.array([0.06, 0.02, 0.0, -0.02])


def row(n_base: int, real: int, syn: int, seed: int, **other: Any) -> dict[str, Any]:
    per_class = 0.6 + 0.02 * np.log(n_base) + 0.02 * real / n_base + GAINS * np.log1p(syn / n_base)
    per_class = per_class + np.random.default_rng([n_base, real, syn, seed]).normal(0, 0.001, CLASSES)
    return {
        **{column.name: "" for column in COLUMNS if column.type == "string"},
        "imbalance": 1.0,
        "n_upstream": 0,
        "trial": f"{n_base}-{real}-{syn}-{seed}",
        "cell": f"{n_base}-{real}-{syn}",
        "dataset": "digits",
        "model": "small_cnn",
        "strategy": "joint",
        "evaluation": "accuracy",
        "n_base": n_base,
        "n_real_plus": real,
        "n_syn_plus": syn,
        "generator": "edm" if syn else "",
        "trained_on": "base" if syn else "",
        "generator_seed": 0,
        "pool": f"pool-{n_base}" if syn else "",
        "subset_seed": 0,
        "training_seed": seed,
        "top1": float(per_class.mean()),
        "total": 1000,
        "per_class": per_class.tolist(),
        "seconds": 2.0 + (n_base + real + syn) / 100,
        "device": "cpu",
        "grid": "tiny",
        "revision": "abc1234",
        "versions": '{"python": "3.11"}',
        "finished_at": "2026-11-21T12:00:00+00:00",
        "status": "done",
        **other,
    }


@cache
def store() -> str:
    folder = Path(mkdtemp())
    cells = [(0, 0), (0.5, 0), (1, 0), (0, 1), (0, 4)]
    rows = [
        row(base, int(real * base), int(syn * base), seed)
        for base in (50, 200)
        for real, syn in cells
        for seed in (0, 1)
    ]
    lost = row(
        50, 0, 50, 9, status="failed", error="<script>out of memory</script>", top1=None, per_class=None
    )
    Store(folder).write_many([*rows, lost])
    measured = {"quality_version": 1, "dataset": "digits", "measure": "fid", "features": "classifier:digits"}
    quality = QualityTable(folder)
    for base, value in ((50, 9.0), (200, 4.0)):
        of_pool = {"pool": f"pool-{base}", "trained_on": "base", "n_base": base, "n_upstream": 0}
        entry = {
            **measured,
            **of_pool,
            "measurement": f"m{base}",
            "images": 100,
            "quantity": "fid",
            "value": value,
        }
        quality.write([{**entry, "finished_at": "2026-11-21T12:00:00+00:00"}])
    return str(folder)


@cache
def fitted() -> Fit:
    [(labels, rows)] = arms(Store(store()).read()).values()
    return fit(rows, surface="loglinear", bootstrap=20, labels=labels, name="digits-edm-base")


@pytest.mark.parametrize("name", ["per_class_gains", "pool_quality", "device_time"])
def test_every_figure_of_a_store_has_what_a_reader_needs(name: str) -> None:
    figure = registry.find("figures", name).load()(fitted(), store=store())
    assert ET.fromstring(figure.svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert figure.caption.endswith(".")
    assert figure.alt.endswith(".")
    assert figure.spots
    with pytest.raises(InputError, match="needs the store"):
        registry.find("figures", name).load()(fitted())


def test_classes_are_ordered_by_their_gain_from_synthetic_images() -> None:
    data = per_class_gains.draw(fitted(), store=store(), n_base=200).data
    gained = data[data["added"] == "synthetic"].set_index("label")["gain"]
    assert gained.to_numpy() == pytest.approx(GAINS * np.log1p(4), abs=0.005)
    assert "(class 3) to" in per_class_gains.draw(fitted(), store=store(), n_base=200).alt
    with pytest.raises(InputError, match="no per-class accuracies"):
        per_class_gains.draw(fitted(), store=store(), n_base=77)


def test_device_time_is_that_of_finished_trials_alone() -> None:
    figure = device_time.draw(fitted(), store=store())
    cell = figure.data[(figure.data["n_base"] == 50) & (figure.data["n_syn_plus"] == 50)].iloc[0]
    assert (cell["seconds"], cell["trials"]) == (3.0, 2)
    assert "20 trials" in figure.caption


def test_quality_is_of_the_arms_pools_by_what_they_were_trained_on() -> None:
    data = pool_quality.draw(fitted(), store=store()).data
    assert dict(zip(data["place"], data["value"], strict=True)) == {"50\nbase": 9.0, "200\nbase": 4.0}


def test_one_quantity_alone_fits_a_column() -> None:
    data = pool_quality.draw(fitted(), store=store(), quantity="fid").data
    assert set(data["quantity"]) == {"fid"}
    with pytest.raises(InputError, match="did you mean 'fid'"):
        pool_quality.draw(fitted(), store=store(), quantity="fed")


def test_another_stores_arm_is_refused() -> None:
    other = Fit(**{**vars(fitted()), "labels": {"dataset": "other"}})
    with pytest.raises(InputError, match="no trials of this fit's arm"):
        device_time.draw(other, store=store())


def test_a_report_shows_device_time_failures_and_provenance() -> None:
    text = render(contents((fitted(),), About(store=store())))
    assert "1 min 38 s on cpu" in text
    assert "20 done, 1 failed" in text
    assert "&lt;script&gt;out of memory" in text
    assert "tiny" in text
    assert "What each class gains at" in text
    assert "Quality of the synthetic images" in text


def test_the_command_fits_a_stores_arms_itself(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    with pytest.raises(SystemExit) as ended:
        main(["report", "--store", store(), "--out", str(page), "--title", "Of a store"])
    assert ended.value.code == 0
    text = page.read_text()
    assert f"mousterian report --store {store()} --title &#39;Of a store&#39;" in text
    assert "digits-edm-base" in text
    assert "20 done, 1 failed" in text
