"""Pre-training by MoCo v2: views, keys, queue, momentum, and the resulting model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interrupted import CutError, allow_batches
from torch import Tensor, nn
from torch.nn import functional

from mousterian.data.datasets import digits
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.training import loop
from mousterian.training.checkpoint import Checkpoint
from mousterian.training.mixture import Mixture
from mousterian.training.models.small_cnn import build
from mousterian.training.recipes import recipe
from mousterian.training.strategies import pretrain_transfer
from mousterian.training.strategies._moco import DIMENSIONS, MomentumContrast, projecting
from mousterian.training.strategies._views import Draw, view
from mousterian.training.strategy_checks import TrainingSetup

CPU = torch.device("cpu")
MOCO = {"name": "moco_v2", "iterations": 30, "batch_size": 32}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    found = digits.load("train", tmp_path_factory.mktemp("data")).take(np.arange(100))
    return ImageSet(found.images, found.labels, found.class_names, np.arange(100) >= 20)


def task_of(images: ImageSet, **changes: Any) -> loop.Task:
    values = {"iterations": 3, "batch_size": 16, **changes}
    return loop.Task(Mixture.of(images, CPU), 20, recipe("small", values), CPU, 0)


def model_of(task: loop.Task) -> loop.Normalised:
    torch.manual_seed(0)
    return loop.prepare(build(10, (8, 8, 1), width=8), task)


def contrast_of(task: loop.Task, **changes: Any) -> MomentumContrast:
    values = {"queue": 64, "momentum": 0.9, "temperature": 0.2, **changes}
    return MomentumContrast(model_of(task), 0, **values)


def batch(task: loop.Task, start: int = 20, size: int = 16) -> Tensor:
    return task.mixture.images(torch.arange(start, start + size)).float().div(255)


@pytest.mark.parametrize("wrap", [nn.Sequential, lambda head: head], ids=["inside", "the network itself"])
def test_the_projection_stands_in_the_heads_place_and_the_head_comes_back(
    images: ImageSet, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    head = nn.Linear(6, 10)
    network = wrap(head)
    model = loop.prepare(network, task_of(images))
    with projecting(model, 10, 0):
        assert model.network(torch.zeros(2, 6)).shape == (2, DIMENSIONS)
        assert all(each is not head for each in model.modules())
    assert model.network is network and list(network.modules())[-1] is head


def test_keys_get_no_gradient_and_follow_by_momentum_alone(images: ImageSet) -> None:
    task = task_of(images)
    model = model_of(task)
    with projecting(model, 10, 0):
        contrast = MomentumContrast(model, 0, queue=64, momentum=0.9, temperature=0.2)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        before = [each.clone() for each in contrast.follower.parameters()]
        scores = contrast.train()(batch(task))
        functional.cross_entropy(scores, torch.zeros(16, dtype=torch.int64)).backward()
        assert all(each.grad is None and not each.requires_grad for each in contrast.follower.parameters())
        assert all(each.grad is not None for each in model.parameters())
        for old, slow, fast in zip(before, contrast.follower.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(slow, 0.9 * old + 0.1 * fast)


def test_scores_are_of_the_own_key_first_then_of_the_queue(images: ImageSet) -> None:
    task = task_of(images)
    model = model_of(task)
    with projecting(model, 10, 0):
        contrast = MomentumContrast(model, 0, queue=64, momentum=1.0, temperature=0.5).eval()
        queue = contrast.get_buffer("queue").clone()
        torch.testing.assert_close(queue.norm(dim=1), torch.ones(64))
        scores = contrast(batch(task))
    assert scores.shape == (16, 65) and scores.abs().max() <= 2.0001
    keys = contrast.get_buffer("queue")[:16]
    # The two networks are still the same, so query and key of one image differ by their views alone.
    assert (scores[:, 0] > scores[:, 1:].mean(1)).all()
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(16))
    assert torch.equal(contrast.get_buffer("queue")[16:], queue[16:])


def test_the_queue_rolls_and_forgets_the_oldest(images: ImageSet) -> None:
    task = task_of(images)
    contrast = contrast_of(task, queue=5)
    rows = [torch.full((2, DIMENSIONS), float(number)) for number in range(4)]
    for row in rows:
        contrast._enqueue(row)
    assert contrast.get_buffer("queue")[:, 0].tolist() == [2, 3, 3, 1, 2]
    contrast._enqueue(torch.full((9, DIMENSIONS), 7.0))
    assert contrast.get_buffer("queue")[:, 0].tolist() == [7] * 5


def test_keys_come_back_in_the_order_of_their_images(images: ImageSet) -> None:
    task = task_of(images)
    contrast = contrast_of(task).eval()
    shown = batch(task)
    found = contrast._keys(shown, torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, functional.normalize(contrast.follower(shown), dim=1))


def test_two_views_differ_and_a_seed_gives_them_again(images: ImageSet) -> None:
    shown = batch(task_of(images))
    for pictures in (shown, shown.repeat(1, 3, 1, 1)):

        def pair(seed: int, pictures: Tensor = pictures) -> tuple[Tensor, Tensor]:
            draw = Draw(len(pictures), torch.Generator().manual_seed(seed), CPU)
            return view(pictures, draw), view(pictures, draw)

        first, second = pair(0)
        assert first.shape == pictures.shape and first.min() >= 0 and first.max() <= 1
        assert ((first - second).abs().amax((1, 2, 3)) > 0).all()
        assert torch.equal(pair(0)[1], second) and not torch.equal(pair(1)[0], first)


class _Fixed(Draw):
    """Draws that leave an image unchanged, except for those named."""

    def __init__(self, **values: float) -> None:
        super().__init__(1, torch.Generator(), CPU)
        self._left = iter(values.values())

    def uniform(self, low: float, high: float) -> Tensor:
        return torch.tensor([next(self._left)])

    def bernoulli(self, share: float) -> Tensor:
        return torch.tensor([bool(next(self._left))])


def drawn(**changes: float) -> _Fixed:
    neutral = {"area": 1.0, "ratio": 0.0, "right": 0.0, "down": 0.0, "mirrored": 0, "brightness": 1.0}
    more = {
        "contrast": 1.0,
        "saturation": 1.0,
        "hue": 0.0,
        "jittered": 1,
        "grey": 0,
        "sigma": 1.0,
        "blurred": 0,
    }
    return _Fixed(**{**neutral, **more, **changes})


def test_each_part_of_a_view_does_what_it_is_called() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.5
    torch.testing.assert_close(view(image, drawn()), image, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(view(image, drawn(mirrored=1)), image.flip(3), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(view(image, drawn(brightness=1.4)), image * 1.4, atol=2e-3, rtol=2e-3)
    grey = view(image, drawn(grey=1))
    assert torch.equal(grey[:, 0], grey[:, 1]) and not torch.equal(grey[:, 0], image[:, 0])
    assert view(image, drawn(sigma=28 * 1.0, blurred=1)).std() < 0.8 * image.std()
    corner = view(image, drawn(area=0.25, right=-1.0, down=-1.0))
    torch.testing.assert_close(corner[..., 1::2, 1::2].mean(), image[..., :4, :4].mean(), atol=0.02, rtol=0.1)


def test_the_loss_falls_on_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []

    def noted(scores: Tensor, targets: Tensor) -> Tensor:
        loss = functional.cross_entropy(scores, targets)
        losses.append(float(loss.detach()))
        return loss

    many = digits.load("train", tmp_path).take(np.arange(320))
    task = task_of(ImageSet(many.images, many.labels, many.class_names, np.arange(320) >= 20))
    monkeypatch.setattr(pretrain_transfer, "_LOSS", noted)
    pretraining = {**MOCO, "iterations": 150}
    pretrain_transfer.train(
        model_of(task), task, method="moco", pretraining=pretraining, queue=256, momentum=0.99
    )
    # Until the queue is full it holds random vectors, which are easy to distinguish from a key.
    assert np.mean(losses[-30:]) < np.mean(losses[30:60]) - 0.1


def test_the_model_keeps_its_layers_and_gets_a_fresh_head(images: ImageSet) -> None:
    task = task_of(images, learning_rate=1e-30, weight_decay=0.0, iterations=1)
    model, names = model_of(task), [name for name, _ in model_of(task).named_modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cost = pretrain_transfer.train(model, task, method="moco", pretraining=MOCO, queue=32)
    assert [name for name, _ in model.named_modules()] == names
    assert cost.steps == 31 and cost.images_seen == 30 * 32 + 16
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    linear = [name for name, each in model.named_modules() if isinstance(each, nn.Linear)]
    assert {f"{linear[-1]}.weight", f"{linear[-1]}.bias"} < changed and len(changed) > 6


def test_a_run_cut_off_in_its_pretraining_goes_on_where_it_stopped(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(kept: Checkpoint | None) -> dict[str, Tensor]:
        task = loop.replace(task_of(images), checkpoint=kept)
        model = model_of(task)
        pretraining = {**MOCO, "iterations": 6}
        pretrain_transfer.train(model, task, method="moco", pretraining=pretraining, queue=48)
        return model.state_dict()

    whole = weights(None)
    allow_batches(monkeypatch, 4)
    with pytest.raises(CutError):
        weights(Checkpoint(tmp_path / "one", "a trial", every=0))
    allow_batches(monkeypatch, 99)
    resumed = weights(Checkpoint(tmp_path / "one", "a trial", every=0))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queue": 0}, "a queue of 1 key or more"),
        ({"momentum": 1.5}, "not 65536, 1.5 and 0.2"),
        ({"pretraining": {"name": "diversify_deit_s"}}, 'pretraining = "moco_v2"'),
        ({"pretraining": {"learning_rate": 0.1}}, "the key 'name'"),
        ({"pretraining": {"name": "moco_v2", "epoch": 3}}, "did you mean 'epochs'"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    setup = TrainingSetup(20, 80, tuple("0123456789"), recipe("small"), "cnn", lambda: build(10, (8, 8, 1)))
    values = {
        "queue": 65536,
        "momentum": 0.999,
        "temperature": 0.2,
        "method": "moco",
        "pretraining": "moco_v2",
    }
    with pytest.raises(InputError, match=message):
        pretrain_transfer.check(setup, **{**values, **changes})
