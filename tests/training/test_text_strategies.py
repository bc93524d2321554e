"""Strategies on a tiny CLIP with random weights: heads from class names, frozen encoders, soft targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.training import loop
from mousterian.training.encoders import clip
from mousterian.training.mixture import Mixture
from mousterian.training.models.clip import build
from mousterian.training.recipes import recipe
from mousterian.training.strategies import classifier_tuning, fine_tune
from mousterian.training.strategies._text_heads import scores, soft_targets
from mousterian.training.strategy_checks import Proposal

pytest.importorskip("open_clip")

CPU = torch.device("cpu")
NAMES = ("crane", "snake", "lake")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip"))


def pictures(shape: tuple[int, int, int] = (32, 32, 3)) -> ImageSet:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (12, *shape), dtype=np.uint8)
    return ImageSet(images, np.arange(12) % 3, NAMES, np.arange(12) >= 6)


def prepared(
    folder: Path, shape: tuple[int, int, int] = (32, 32, 3), **changes: Any
) -> tuple[loop.Normalised, loop.Task]:
    values = {
        "iterations": 3,
        "batch_size": 6,
        "crop": 0,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        **changes,
    }
    task = loop.Task(Mixture.of(pictures(shape), CPU), 6, recipe("small", values), CPU, 0)
    network = build(3, shape, model=f"local-dir:{folder}", weights="")
    return loop.prepare(network, task), task


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 12, 1)])
def test_a_head_from_texts_gives_clips_own_scores(folder: Path, shape: tuple[int, int, int]) -> None:
    model, task = prepared(folder, shape, learning_rate=1e-30)
    fine_tune.train(model, task, prompt="a photo of the {}")
    loaded = clip.load(f"local-dir:{folder}", "", "cpu")
    texts = loaded.texts([f"a photo of the {name}" for name in NAMES])
    own = loaded.scale * loaded.images(pictures(shape).images) @ texts.T
    torch.testing.assert_close(scores(model, task.mixture), torch.from_numpy(own), atol=1e-3, rtol=1e-3)


def changed(strategy: Any, folder: Path, **options: Any) -> set[str]:
    model, task = prepared(folder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    strategy.train(model, task, **options)
    after = model.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_classifier_tuning_moves_the_head_alone_and_fine_tuning_the_encoder_too(folder: Path) -> None:
    head = {"network.head.weight", "network.head.bias"}
    assert changed(classifier_tuning, folder, soft=0.5) == head
    assert len(changed(fine_tune, folder) - head) > 5
    assert changed(fine_tune, folder, head="fresh") >= head


def test_a_share_of_the_encoder_learns_too_from_its_end(folder: Path) -> None:
    network = build(3, (32, 32, 3), model=f"local-dir:{folder}", weights="")
    names = [name for name, _ in network.named_parameters() if not name.startswith("head.")]
    total = sum(each.numel() for each in network.parameters())
    for share in (0.0, 0.1, 0.5, 1.0):
        chosen = {id(each) for each in classifier_tuning.tuned(network, share)}
        learnt = [name for name, each in network.named_parameters() if id(each) in chosen]
        body = [name for name in learnt if not name.startswith("head.")]
        assert body == names[len(names) - len(body) :] and {"head.weight", "head.bias"} <= set(learnt)
        assert sum(network.get_parameter(name).numel() for name in body) <= share * total
    assert body == names
    assert changed(classifier_tuning, folder, share=0.5) > {"network.head.weight"}


def test_without_a_real_batch_no_real_image_is_learnt_from(folder: Path) -> None:
    model, task = prepared(folder)
    cost = classifier_tuning.train(model, task, real_batch=0, syn_batch=4)
    assert cost.images_seen == cost.steps * 4
    other, task = prepared(folder)
    blind = loop.replace(task, mixture=task.mixture.take(torch.arange(6, 12)))
    classifier_tuning.train(other, blind, real_batch=0, syn_batch=4)
    assert torch.equal(model.network.head.weight, other.network.head.weight)


@pytest.mark.parametrize("first", ["synthetic", "real"])
def test_phases_of_classifier_tuning_come_in_the_order_asked_for(
    folder: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[tuple[str, bool]] = []
    run = loop.train

    def noted(model: loop.Normalised, streams: Any, task: loop.Task, **named: Any) -> loop.Cost:
        (only,) = streams
        stages.append((named["stage"], bool(only.mixture.synthetic.all())))
        return run(model, streams, task, **named)

    monkeypatch.setattr(classifier_tuning, "run", noted)
    model, task = prepared(folder)
    classifier_tuning.train(model, task, first=first)
    assert stages == sorted([("synthetic", True), ("real", False)], reverse=first == "synthetic")


def test_fine_tuning_on_the_pool_alone_never_sees_a_real_image(folder: Path) -> None:
    model, task = prepared(folder)
    fine_tune.train(model, task, images="synthetic")
    other, task = prepared(folder)
    blind = loop.replace(task, mixture=task.mixture.take(torch.arange(6, 12)))
    fine_tune.train(other, blind)
    assert torch.equal(model.network.head.weight, other.network.head.weight)


def test_soft_targets_give_the_papers_loss() -> None:
    # A.5 of He et al.: 0.5 · CE + 0.5 · SCE with T = 2. Scores 2 ln 3 and 0 soften to 3/4 and 1/4; logits
    # ln 4 and 0 are 4/5 and 1/5; the label is 1: 0.5 · ln 5 + 0.5 · (3/4 · ln(5/4) + 1/4 · ln 5).
    targets = soft_targets(torch.tensor([1]), torch.tensor([[2 * np.log(3), 0.0]]), 2.0, 0.5)
    torch.testing.assert_close(targets.float(), torch.tensor([[0.375, 0.625]]))
    logits = torch.tensor([[np.log(4.0), 0.0]], dtype=torch.float32)
    found = torch.nn.functional.cross_entropy(logits, targets.float())
    expected = 0.5 * np.log(5) + 0.5 * (0.75 * np.log(5 / 4) + 0.25 * np.log(5))
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("names", "prompt", "told"),
    [
        (("0", "1", "2"), "a photo of a {}", "class names that are words"),
        (NAMES, "a photo", "no place for the class name"),
        (NAMES, "a photo of a {}", "'linear' has none"),
    ],
)
def test_texts_that_cannot_be_are_refused(names: tuple[str, ...], prompt: str, told: str) -> None:
    proposal = Proposal(6, 6, names, recipe("small"), "linear", lambda: torch.nn.Linear(2, 3))
    with pytest.raises(InputError, match=told):
        fine_tune.check(proposal, head="text", prompt=prompt, images="all")
    fine_tune.check(proposal, head="fresh", prompt=prompt, images="all")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"share": 1.5}, "0 to 1, not 1.5"),
        ({"real_batch": 0}, "synthetic images alone"),
        ({"soft": 2}, "share"),
    ],
)
def test_values_that_mean_nothing_are_refused(changes: dict[str, float], told: str) -> None:
    proposal = Proposal(6, 0, NAMES, recipe("small"), "linear", lambda: torch.nn.Linear(2, 3))
    values = {
        "soft": 0.0,
        "temperature": 2.0,
        "real_batch": 32,
        "syn_batch": 512,
        "weight": 1.0,
        "share": 0.0,
    }
    with pytest.raises(InputError, match=told):
        classifier_tuning.check(proposal, prompt="a {}", **{**values, **changes})
