"""Settings of evaluations and strategies that a grid file refuses before anything is made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mousterian.errors import InputError, InputErrors
from mousterian.trials import checks, grid

SIZES = 'dataset = "digits"\nn_base = 20\nmodel = "small_cnn"\nrecipe = "small"\n'


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ('{name = "calibration", bins = 0}', "'bins': 0 is not Positive .*greater than or equal to 1"),
        ('{name = "knn", neighbours = 0}', "'neighbours': 0 is not Positive"),
        ('{name = "knn", temperature = 0}', "'temperature': 0 is not AboveZero"),
        ('{name = "accuracy", batch_size = 0}', "'batch_size': 0 is not Positive"),
        ('{name = "linear_probe", decays = [0.1, -1]}', "is not tuple"),
        ('{name = "linear_probe", decays = []}', "the list of decays is empty"),
        ('{name = "knn", dataset = {name = "npz", path = "none.npz"}}', "none.npz"),
        ('{name = "class_groups", many = 2, few = 3}', "few = 3 is more than many = 2"),
        ('{name = "clip_zero_shot", weights = "openai", templates = ["a photo"]}', "'a photo' has no"),
        (
            '{name = "out_of_domain", dataset = "digits", evaluation = {name = "class_groups", many = 2}}',
            "few = 300 is more than many = 2",
        ),
    ],
)
def test_invalid_values_are_refused_before_anything_trains(
    tmp_path: Path, evaluation: str, message: str
) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(f"{SIZES}evaluation = {evaluation}\n")
    with pytest.raises(InputErrors, match=message) as caught:
        checks.check_sizes(*grid.read(file, data_dir=tmp_path), tmp_path)
    assert "grid.toml:5" in str(caught.value) or "none.npz" in message


def test_a_grid_refuses_an_evaluation_set_of_other_classes_before_anything_trains(tmp_path: Path) -> None:
    path, names = tmp_path / "other.npz", np.array(["one", "two"])
    np.savez(path, test_images=np.zeros((2, 4, 4, 3), np.uint8), test_labels=np.arange(2), class_names=names)
    file = tmp_path / "grid.toml"
    evaluation = f'{{name = "out_of_domain", dataset = {{name = "npz", path = "{path}"}}}}'
    file.write_text(f"{SIZES}evaluation = {evaluation}\n")
    trials, source = grid.read(file, data_dir=tmp_path)
    with pytest.raises(InputErrors, match="2 of its classes are not the classifier's: one, two"):
        checks.check_sizes(trials, source, tmp_path)


GRID = """
dataset = "digits"
n_base = [20]
r_syn = [1]
model = {model}
strategy = {strategy}
recipe = {{name = "small", iterations = 2}}

[generator]
name = "edm"
channels = 8
steps = 2
sampling_steps = 2
"""


@pytest.mark.parametrize(
    ("model", "strategy", "message"),
    [
        ('"small_cnn"', '{name = "balanced", share = 1}', "choose a share below 1, or list the mixtures as"),
        ('"small_cnn"', '{name = "balanced", share = 1.5}', "0 to 1, not 1.5"),
        ('"small_cnn"', '{name = "balanced", weight = -1}', "0 or more, not -1"),
        (
            '"vit_tiny_patch16_224"',
            '"auxiliary_bn"',
            "'vit_tiny_patch16_224' has none\n  use the strategy balanced",
        ),
        (
            '"small_cnn"',
            '{name = "auxiliary_bn", share = 1}',
            "that are used in evaluation\n  choose a share below 1",
        ),
        ('"small_cnn"', '{name = "two_stream", real_batch = 0}', "at least one image, not 0"),
        ('"small_cnn"', '{name = "bridged", mixup = -0.1}', "0 for none, not -0.1"),
        (
            '"small_cnn"',
            '{name = "pretrain_transfer", pretraining = "he_transfr"}',
            "did you mean 'he_transfer'",
        ),
    ],
)
def test_contradictions_are_refused_before_anything_is_made(
    tmp_path: Path, model: str, strategy: str, message: str
) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(GRID.format(model=model, strategy=strategy))
    trials, source = grid.read(path)
    with pytest.raises(InputError) as caught:
        checks.check_sizes(trials, source, None)
    assert message in str(caught.value) and "grid.toml:6" in str(caught.value)
    path.write_text(GRID.format(model='"small_cnn"', strategy='["joint", "balanced", "auxiliary_bn"]'))
    checks.check_sizes(*grid.read(path), None)
