"""Arms compared image by image, from the predictions that a store keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from mousterian.answers.comparison import _variance
from mousterian.store.predictions import PredictionFiles, Predictions
from mousterian.store.rows import Store

Run = Callable[..., tuple[int, str, str]]

CELLS = [("", 100, 0), ("", 100, 100), ("", 200, 0), ("", 200, 200)]
CELLS += [(name, base, r * base) for name in ("one", "two") for base in (100, 200) for r in (1, 4)]
IMAGES = 400
SAME = ("model", "strategy", "recipe", "trained_on", "code_revisions", "content_stamps")
OPTIONS = ("dataset", "model", "strategy", "recipe", "generator")


def store(folder: Path, seeds: int) -> dict[tuple[str, int, int], NDArray[np.bool_]]:
    """Write two arms tested on the same images, of which some are hard for all; return what was correct."""
    rng = np.random.default_rng(3)
    hard = rng.normal(size=IMAGES)
    labels, found = np.zeros(IMAGES, dtype=np.int64), {}
    for seed in range(seeds):
        for name, base, added in CELLS:
            skill = 0.5 * np.log(base + added * {"": 1, "one": 0.6, "two": 0.3}[name]) - 1.5
            correct = skill + hard + rng.normal(0, 0.5, IMAGES) > 0
            real, synthetic = (0, added) if name else (added, 0)
            key = f"{name}-{base}-{added}-{seed}"
            row = {
                **dict.fromkeys([*SAME, *(f"{each}_options" for each in OPTIONS)], ""),
                **{"imbalance": 1.0, "n_upstream": 0},
                **{"trial": key, "status": "done", "dataset": "simulated", "generator": name},
                **{"n_base": base, "n_real_plus": real, "n_syn_plus": synthetic, "generator_seed": 0},
                **{"subset_seed": 0, "training_seed": seed, "top1": correct.mean(), "total": IMAGES},
                **{"evaluation": "accuracy", "evaluation_options": "{}", "evaluation_set": "simulated/test"},
                "test_set": "0f",
            }
            predictions = Predictions((~correct).astype(np.int64), labels)
            PredictionFiles(folder).write(key, [{**row, "predictions": predictions}])
            Store(folder).write([row])
            found[name, base, synthetic] = correct
    return found


def compared(run: Run, *options: object) -> dict[tuple[int, int], dict[str, float]]:
    code, out, err = run("compare", *sorted(Path("fits").glob("*.json")), "--json", *options)
    assert code == 0, err
    return {(row["n_base"], row["n_syn_plus"]): row for row in json.loads(out)["comparisons"]}


def fits(run: Run, folder: Path) -> None:
    fit = ("fit", "--store", folder, "--surface", "effective_data", "--bootstrap", 50, "--out", "fits")
    code, _, err = run(*fit)
    assert code == 0, err


def test_one_trial_each_is_compared_image_by_image(run: Run, tmp_path: Path) -> None:
    correct = store(tmp_path / "store", seeds=1)
    fits(run, tmp_path / "store")
    without, found = compared(run), compared(run, "--store", tmp_path / "store")
    for (base, added), row in found.items():
        one, two = (correct[name, base, added].astype(float) for name in ("one", "two"))
        expected = ttest_rel(one, two)  # McNemar's test, with Student's t for its normal distribution
        interval = expected.confidence_interval()
        assert (row["trials"], row["freedom"]) == ("one pair", IMAGES - 1)
        assert row["p"] == pytest.approx(expected.pvalue, rel=1e-4)
        assert (row["difference_low"], row["difference_high"]) == pytest.approx(
            (interval.low, interval.high), rel=1e-4
        )
        # Images that are hard for both cancel; the binomial noise of two test sets does not know it.
        assert without[base, added]["trials"] == "unpaired"
        assert row["difference_high"] < without[base, added]["difference_high"]


def test_pairs_of_seeds_say_what_test_images_add(run: Run, tmp_path: Path) -> None:
    store(tmp_path / "store", seeds=3)
    fits(run, tmp_path / "store")
    without, found = compared(run), compared(run, "--store", tmp_path / "store")
    assert {row["trials"] for row in [*without.values(), *found.values()]} == {"paired"}
    for cell, row in found.items():
        assert row["difference"] == pytest.approx(without[cell]["difference"])
        assert row["freedom"] >= 2


def test_the_variance_is_that_over_pairs_and_images() -> None:
    rng = np.random.default_rng(0)
    drawn = [
        rng.normal(0, 0.03, (4, 1)) + rng.normal(0, 0.6, 100) + rng.normal(0, 0.5, (4, 100))
        for _ in range(2000)
    ]
    expected = 0.03**2 / 4 + 0.6**2 / 100 + 0.5**2 / 400
    assert np.mean([_variance(each)[0] for each in drawn]) == pytest.approx(expected, rel=0.05)
    assert np.var([each.mean() for each in drawn]) == pytest.approx(expected, rel=0.1)


def test_fits_of_another_store_are_refused(run: Run, tmp_path: Path) -> None:
    store(tmp_path / "store", seeds=1)
    fits(run, tmp_path / "store")
    file = tmp_path / "fits" / "simulated-one.json"
    saved = json.loads(file.read_text())
    others = saved["data"] | {"accuracy": [0.5] * len(saved["data"]["n_base"])}
    for change, said in (
        ({"name": "simulated-on"}, "simulated-one"),
        ({"data": others}, "the trials of the fit 'simulated-one' are not in this store"),
    ):
        file.write_text(json.dumps(saved | change))
        code, _, err = run("compare", *sorted(Path("fits").glob("*.json")), "--store", tmp_path / "store")
        assert (code, said in err) == (2, True), err
