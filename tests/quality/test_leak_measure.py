"""`mousterian quality` finds pools of test images, and `mousterian data` training sets that hold some."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from perturbations import noisy

from mousterian.data.datasets import digits
from mousterian.data.image_set import ImageSet
from mousterian.quality.kinds import MeasureContext
from mousterian.quality.measures import leaks as measured
from mousterian.training.feature_spaces import Output, Spaces


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageSet, ImageSet, ImageSet]:
    """Training images, test images, and images in neither."""
    folder = tmp_path_factory.mktemp("data")
    train, test = (digits.load(part, folder) for part in ("train", "test"))
    order = np.random.default_rng(0).permutation(len(train))
    return train.take(order[:800]), test, train.take(order[800:])


@pytest.mark.parametrize("sigma", [0.0, 3.0])
def test_a_pool_of_test_images_is_found_and_named(
    split: tuple[ImageSet, ImageSet, ImageSet], sigma: float, caplog: pytest.LogCaptureFixture
) -> None:
    real, test, _ = split
    pool = ImageSet(noisy(test.images[:300], sigma), test.labels[:300], test.class_names)
    with caplog.at_level(logging.WARNING):
        found = measured.measure(pool, real, test, MeasureContext(seen=real.take(np.arange(100))))
    assert found["holds_test_images"] == 1 and found["test_copies"] > 0.9
    assert found["identical_test_copies"] == (1.0 if not sigma else 0.0)
    assert found["nearer_to_test"] > 0.9 and found["nearer_to_test_p"] < 1e-6
    assert "The pool holds test images" in caplog.text


def test_other_real_images_are_no_leak(
    split: tuple[ImageSet, ImageSet, ImageSet], caplog: pytest.LogCaptureFixture
) -> None:
    real, test, others = split
    found = measured.measure(others, real, test, MeasureContext(seen=real.take(np.arange(100))))
    assert found["holds_test_images"] == 0 and found["identical_test_copies"] == 0
    assert 0.4 < found["nearer_to_test"] < 0.6 and not caplog.text


def test_nearness_is_measured_in_a_feature_space_where_one_is_named(
    split: tuple[ImageSet, ImageSet, ImageSet],
) -> None:
    real, test, others = split
    known = {image.tobytes() for image in real.images}

    class Apart(Spaces):
        """A feature space in which the real images lie far from all others."""

        def outputs(self, images: ImageSet, name: str) -> Output:
            vectors = np.random.default_rng(0).normal(size=(len(images), 4))
            vectors[[image.tobytes() in known for image in images.images]] += 9
            return Output(vectors.astype(np.float32))

    found = measured.measure(others, real, test, MeasureContext(Apart()), features="apart")
    assert found["nearer_to_test"] == 1 and found["holds_test_images"] == 1
    assert found["identical_test_copies"] == 0


def test_a_generator_that_saw_all_real_images_leaves_nothing_to_compare_with(
    split: tuple[ImageSet, ImageSet, ImageSet],
) -> None:
    real, test, others = split
    assert "nearer_to_test" not in measured.measure(others, real, test, MeasureContext(seen=real))


def test_the_command_counts_test_images_in_the_training_set(
    split: tuple[ImageSet, ImageSet, ImageSet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mousterian.cli.commands import EXIT_FAILED
    from mousterian.cli.commands.data import data

    real, test, _ = split
    images = np.concatenate([real.images, test.images[:100]])
    labels = np.concatenate([real.labels, test.labels[:100]])
    arrays = {"train_images": images, "train_labels": labels}
    arrays |= {"test_images": test.images, "test_labels": test.labels}
    np.savez(tmp_path / "leaky.npz", **arrays)
    assert data("npz", option=[f"path={tmp_path / 'leaky.npz'}"], data_dir=tmp_path, json=True) == EXIT_FAILED
    leaks = json.loads(capsys.readouterr().out)["leaks"]
    assert leaks["identical"] == 100 and leaks["reason"]
    data("npz", option=[f"path={tmp_path / 'leaky.npz'}"], data_dir=tmp_path)
    assert "17 % of the test images are in the training set, pixel by pixel" in capsys.readouterr().out
