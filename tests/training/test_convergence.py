"""Accuracy over steps: an observer sees each stage, changes nothing, and resumes from checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_GRID
from interrupted import CutError, allow_batches

from mousterian.data.datasets import digits
from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.errors import InputErrors
from mousterian.fitting.arms import arms
from mousterian.store.rows import Store
from mousterian.training import loop
from mousterian.training.checkpoint import Checkpoint
from mousterian.training.evaluations import accuracy
from mousterian.training.evaluations.convergence import Curve, observe
from mousterian.training.mixture import Mixture
from mousterian.training.models.small_cnn import build
from mousterian.training.recipes import recipe
from mousterian.training.strategies import auxiliary_bn, bridged, joint, pretrain_transfer
from mousterian.trials import checks, grid
from mousterian.trials.run import run_and_save
from mousterian.trials.settings import Settings

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> TrialImages:
    folder = tmp_path_factory.mktemp("data")
    train = digits.load("train", folder).take(np.arange(60))
    marked = ImageSet(train.images, train.labels, train.class_names, np.arange(60) >= 20)
    test = digits.load("test", folder).take(np.arange(50))
    return TrialImages(marked, test, np.arange(20), None, 0, 20, folder)


def trained(
    strategy: Callable[..., loop.Cost], images: TrialImages, curve: Curve | None, **changes: Any
) -> loop.Normalised:
    task = loop.Task(Mixture.of(images.train, CPU), 20, recipe("small", {"iterations": 7}), CPU, 0)
    task = loop.replace(task, **{"observers": (curve,) if curve else (), **changes})
    torch.manual_seed(0)
    model = loop.prepare(build(10, (8, 8, 1), width=4), task)
    strategy(model, task)
    return model


@pytest.mark.parametrize("acceleration", ["eager", "graph"])
@pytest.mark.parametrize("strategy", [joint.train, auxiliary_bn.train])
def test_observing_changes_nothing_and_ends_at_the_accuracy(
    images: TrialImages, strategy: Callable[..., loop.Cost], acceleration: str
) -> None:
    curve = observe(images, CPU, points=3)
    seen = trained(strategy, images, curve, acceleration=acceleration)
    unseen = trained(strategy, images, None, acceleration=acceleration)
    for name, value in unseen.state_dict().items():
        assert torch.equal(value, seen.state_dict()[name])
    found = curve.columns()
    assert found["curve_steps"] == [3, 5, 7]
    assert found["curve_top1"][-1] == accuracy.evaluate(seen, images.test, CPU)["top1"]


def test_steps_count_on_over_stages_and_another_head_has_no_points(images: TrialImages) -> None:
    curve = observe(images, CPU, points=2)
    trained(bridged.train, images, curve)
    assert curve.columns()["curve_steps"] == [4, 7, 11, 14]
    curve = observe(images, CPU, points=2)

    def moco(model: loop.Normalised, task: loop.Task) -> loop.Cost:
        pretraining = {"name": "moco_v2", "iterations": 4, "batch_size": 8}
        return pretrain_transfer.train(model, task, method="moco", pretraining=pretraining, queue=16)

    trained(moco, images, curve)
    assert curve.columns()["curve_steps"] == [8, 11]


def test_the_real_images_of_the_mixture_can_be_observed(images: TrialImages) -> None:
    curve = observe(images, CPU, points=1, split="real")
    model = trained(joint.train, images, curve)
    found = curve.columns()
    assert found["curve_top1"] == [accuracy.evaluate(model, images.train.take(np.arange(20)), CPU)["top1"]]
    assert found["evaluation_set"] == "S_base and real images added"


@pytest.mark.parametrize("cut", [3, 10])
def test_a_curve_survives_a_cut_in_either_stage(
    images: TrialImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    whole = observe(images, CPU, points=3)
    trained(bridged.train, images, whole)
    allow_batches(monkeypatch, cut)
    path = tmp_path / "one"
    with pytest.raises(CutError):
        kept = Checkpoint(path, "a trial", every=0)
        trained(bridged.train, images, observe(images, CPU, points=3), checkpoint=kept)
    allow_batches(monkeypatch, 99)
    resumed = observe(images, CPU, points=3)
    trained(bridged.train, images, resumed, checkpoint=Checkpoint(path, "a trial", every=0))
    assert resumed.columns() == whole.columns()


def test_a_grid_keeps_curves_beside_accuracies_and_they_make_no_arm(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text('evaluation = ["accuracy", {name = "convergence", points = 2}]\n' + TINY_GRID)
    trials, source = grid.read(path)
    checks.check_sizes(trials, source, None)
    settings = Settings(tmp_path / "store", None, "cpu", "tiny")
    for each in trials[:2]:
        run_and_save(each, settings)
    rows = Store(settings.store).read()
    curves = rows[rows["evaluation"] == "convergence"].sort_values("trial")
    ends = rows[rows["evaluation"] == "accuracy"].sort_values("trial")
    assert curves["top1"].isna().all()
    assert [list(each) for each in curves["curve_steps"]] == [[2, 4]] * 2
    assert [each[-1] for each in curves["curve_top1"]] == ends["top1"].tolist()
    assert {part["evaluation"].iloc[0] for _, part in arms(rows).values()} == {"accuracy"}


def test_no_other_evaluation_can_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    held = '{name = "out_of_domain", dataset = "digits", evaluation = "convergence"}'
    path.write_text(f"evaluation = {held}\n" + TINY_GRID)
    with pytest.raises(InputErrors, match="list it by itself under `evaluation`"):
        checks.check_sizes(*grid.read(path), None)
