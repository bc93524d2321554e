"""The exact A/A test: a pool of the very images that would be added as real gives the same row, to a bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from running import settings_of, trials_of

from mousterian.data import subsets
from mousterian.data.loading import load_images
from mousterian.plugins import registry
from mousterian.plugins.choice import Choice
from mousterian.store.schema import COLUMNS
from mousterian.trials.run import run_trial

BASE, ADDED, CLASSES = 50, 100, 10
# What a row says of its result; `seconds` are of the clock.
RESULT = [each.name for each in COLUMNS if each.group == "result"] + ["steps", "images_seen", "status"]

# Strategies that never ask whether an image is synthetic, and the options that they need to run on digits.
TEXTS = ", ".join(f'{digit} = "{word}"' for digit, word in zip("0123456789", tiny.WORDS[5:], strict=False))
ALIKE = {
    "joint": "",
    "fine_tune": ', head = "fresh"',
    "text_alignment": f', encoder = "{{encoder}}", dimensions = 16, descriptions = {{{{{TEXTS}}}}}',
}
# Why the others treat the two differently, so that even equal images give another training.
APART = {
    "auxiliary_bn": "synthetic images have norms of their own, a share of each batch and a weight",
    "balanced": "synthetic images have a share of each batch, and a weight",
    "bridged": "one training on synthetic images, then another on real ones",
    "classifier_tuning": "a batch of each source at each step, each with its own size and weight",
    "phase_wise": "one training for each source",
    "pretrain_transfer": "pre-training on synthetic images, then a fresh head and real ones",
    "two_stream": "a batch of each source at each step, each with its own size and weight",
}

GRID = """
dataset = "digits"
model = {{name = "small_cnn", width = 4}}
recipe = {{name = "small", iterations = 12, batch_size = 16}}
strategy = {{ {strategy} }}
training_seeds = [3]
subset_seeds = [5]

[[cell]]
n_base = {base}
n_real_plus = {added}

[[cell]]
n_base = {base}
n_syn_plus = {added}

[generator]
name = "precomputed"
path = "{pool}"
"""


def additions() -> subsets.Indices:
    """Return the indices of the real additions, in their order: a base of whole turns, as pools begin."""
    train = load_images(Choice("digits", {}), "train", None)
    order = subsets.ordering(train.labels, CLASSES, 5)
    return subsets.base_and_real(order, BASE, ADDED)[1]


def real_and_pool(folder: Path, strategy: str, pool: subsets.Indices) -> list[dict[str, Any]]:
    """Return the row with real additions, and that with as many images of a pool in their place."""
    train = load_images(Choice("digits", {}), "train", None)
    np.savez(folder / "pool.npz", images=train.images[pool], labels=train.labels[pool])
    text = GRID.format(strategy=strategy, base=BASE, added=ADDED, pool=folder / "pool.npz")
    trials = trials_of(folder, text)
    assert [(each.n_real_plus, each.n_syn_plus) for each in trials] == [(ADDED, 0), (0, ADDED)]
    return [row for each in trials for row in run_trial(each, settings_of(folder / "store"))]


def result(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in RESULT}


def test_every_strategy_is_tested_or_said_to_treat_the_two_differently() -> None:
    ours = {name for name, each in registry.available("strategies").items() if "mousterian" in each.module}
    assert ours == {*ALIKE, *APART}


@pytest.mark.parametrize("name", ALIKE)
def test_a_pool_of_the_real_additions_gives_the_same_row(tmp_path: Path, name: str) -> None:
    encoder = tiny.sentences(tmp_path / "encoder", "pooling_mode_mean_tokens")
    options = ALIKE[name].format(encoder=encoder)
    real, pool = real_and_pool(tmp_path, f'name = "{name}"{options}', additions())
    assert result(real) == result(pool)
    assert real["per_class"] and real["images_seen"] == 12 * 16
    for part in ("labels", "predicted"):
        assert np.array_equal(getattr(real["predictions"], part), getattr(pool["predictions"], part))
    assert real["trial"] != pool["trial"]
    leaks = json.loads(pool["leaks"])["pool"]  # named, and no ground to refuse
    assert (leaks["holds_training_images"], leaks["training_images_identical"]) == (True, ADDED)


def test_the_same_images_in_another_order_give_another_row(tmp_path: Path) -> None:
    real, pool = real_and_pool(tmp_path, 'name = "joint"', additions()[::-1])
    assert result(real) != result(pool)
