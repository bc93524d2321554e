"""What each strategy does to batches, norms, heads and gradients: its mechanism."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from digit_tasks import convolutional, linear, task
from torch import Tensor, nn

from mousterian.errors import InputError
from mousterian.training import loop, update
from mousterian.training.feed import Batch, Stream
from mousterian.training.strategies import (
    _batch_norms,
    auxiliary_bn,
    balanced,
    bridged,
    joint,
    phase_wise,
    pretrain_transfer,
    two_stream,
)
from mousterian.training.strategies._heads import head_of

CPU = torch.device("cpu")
PLAIN = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "warmup": 0.0, "schedule": "constant"}


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[Batch]]:
    """Return what every step from now on is given: one batch from each stream."""
    seen: list[list[Batch]] = []
    step = update.Update.step

    def noted(self: Any, given: Sequence[Batch]) -> None:
        seen.append(list(given))
        step(self, given)

    monkeypatch.setattr(update.Update, "step", noted)
    return seen


def counts(steps: list[list[Batch]]) -> list[tuple[int, int]]:
    """Real and synthetic images of each step. Digits are dark at the corners, inverted ones bright."""
    shown = [torch.cat([images for images, _ in step]) for step in steps]
    bright = [int((images[:, 0, 0, 0] > 1).sum()) for images in shown]
    return [(len(images) - b, b) for images, b in zip(shown, bright, strict=True)]


@pytest.mark.parametrize("strategy", [balanced.train, auxiliary_bn.train])
@pytest.mark.parametrize(
    ("sizes", "share", "expected"),
    [
        ((20, 60), 0.5, (8, 8)),
        ((60, 20), 0.5, (8, 8)),
        ((60, 20), 0.25, (12, 4)),
        ((4, 60), 0.5, (8, 8)),  # fewer real images than a batch takes: some come twice
        ((5, 5), 0.2, (8, 2)),  # a mixture smaller than a batch
        ((20, 60), 0.01, (15, 1)),
        ((20, 60), 0.0, (16, 0)),
        ((20, 0), 0.5, (16, 0)),
    ],
)
def test_each_batch_has_its_exact_share(
    batches: list[list[Batch]],
    strategy: Callable[..., loop.Cost],
    sizes: tuple[int, int],
    share: float,
    expected: tuple[int, int],
) -> None:
    given = task(*sizes)
    strategy(convolutional(given), given, share=share)
    assert counts(batches) == [expected] * 3


def test_balanced_sees_as_many_images_as_joint() -> None:
    given = task(20, 60, epochs=2)
    assert balanced.train(linear(given), given).images_seen == joint.train(linear(given), given).images_seen


def moved(strategy: Callable[..., loop.Cost], given: loop.Task, **options: Any) -> Tensor:
    """What one step of SGD with learning rate 1 moves: minus the gradient."""
    model = linear(given)
    before = next(model.parameters()).detach().clone()
    strategy(model, given, **options)
    return next(model.parameters()).detach() - before


def test_the_weight_scales_the_gradients_of_synthetic_images_alone() -> None:
    # Whole sets in one batch, so that each weight sees the same images.
    given = task(10, 10, iterations=1, batch_size=20, learning_rate=1.0, **PLAIN)
    none, some, all_of_it = (moved(balanced.train, given, weight=weight) for weight in (0.0, 0.25, 1.0))
    assert (all_of_it - none).abs().max() > 1e-3
    torch.testing.assert_close(some - none, 0.25 * (all_of_it - none))
    torch.testing.assert_close(all_of_it, moved(joint.train, given))


def test_the_norms_of_balanced_batches_are_those_of_the_whole_batch() -> None:
    given = task(10, 10, iterations=1, batch_size=20)
    one, other = convolutional(given), convolutional(given)
    balanced.train(one, given)
    joint.train(other, given)
    torch.testing.assert_close(one.network[1].running_mean, other.network[1].running_mean)


def test_synthetic_images_leave_the_real_norms_untouched() -> None:
    # A learning rate next to nothing: only statistics move, and they follow from real images alone.
    changes = {"batch_size": 20, "learning_rate": 1e-30, **PLAIN}
    both, real = task(10, 10, **changes), task(10, 0, **changes)
    one, other = convolutional(both), convolutional(real)
    auxiliary_bn.train(one, both)
    joint.train(other, real)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(one.network[1], name), getattr(other.network[1], name))
    assert one.network[1].num_batches_tracked == 3


def test_synthetic_images_move_shared_weights_and_never_the_real_scale_and_shift() -> None:
    # Real images of weight nothing: what moves is moved by synthetic ones.
    given = task(10, 10, iterations=1, batch_size=20, learning_rate=1.0, **PLAIN)
    model = convolutional(given)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    twin = _batch_norms.with_own_norms(model)
    pool = given.mixture.take(given.mixture.synthetic)
    loop.train(model, [Stream(pool, 10, module=twin)], given)
    still = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert still == {"network.1.weight", "network.1.bias"}
    assert not torch.equal(twin.network[1].weight, model.network[1].weight)


def test_two_streams_sum_both_means(batches: list[list[Batch]]) -> None:
    given = task(6, 10, iterations=1, learning_rate=1.0, **PLAIN)
    own = [
        moved(joint.train, task(*sizes, iterations=1, batch_size=16, learning_rate=1.0, **PLAIN))
        for sizes in ((6, 0), (6, 10))
    ]
    found = moved(two_stream.train, given, real_batch=6, syn_batch=10)
    # joint is the mean over 16: (6 × real + 10 × synthetic) / 16.
    synthetic = (16 * own[1] - 6 * own[0]) / 10
    torch.testing.assert_close(found, own[0] + synthetic, atol=1e-5, rtol=1e-4)
    assert counts(batches[-1:]) == [(6, 10)]


def test_two_streams_pass_the_set_that_takes_longer(batches: list[list[Batch]]) -> None:
    given = task(20, 60, epochs=2)
    cost = two_stream.train(linear(given), given, real_batch=2, syn_batch=30)
    assert cost.steps == 2 * 20 / 2
    assert counts(batches) == [(2, 30)] * 20


@pytest.mark.parametrize("strategy", [two_stream.train, phase_wise.train])
def test_frozen_norms_neither_follow_nor_learn(strategy: Callable[..., loop.Cost]) -> None:
    given = task(20, 30)
    model = convolutional(given)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    strategy(model, given, freeze_bn=True)
    after = model.state_dict()
    assert {name for name in before if torch.equal(before[name], after[name])} == {
        *("mean", "std"),
        *(f"network.1.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
        "network.1.num_batches_tracked",
    }
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("first", ["synthetic", "real"])
def test_phases_come_one_after_the_other(batches: list[list[Batch]], first: Any) -> None:
    given = task(20, 40, epochs=1)
    phase_wise.train(linear(given), given, first=first)
    phases = {"real": [(16, 0)] * 2, "synthetic": [(0, 16)] * 3}
    other = "real" if first == "synthetic" else "synthetic"
    assert counts(batches) == [*phases[first], *phases[other]]


def test_phases_can_have_batches_of_their_own(batches: list[list[Batch]]) -> None:
    given = task(20, 40, epochs=1)
    phase_wise.train(linear(given), given, real_batch=5, syn_batch=20)
    assert counts(batches) == [(0, 20)] * 2 + [(5, 0)] * 4


def test_bridged_goes_from_synthetic_to_real(batches: list[list[Batch]]) -> None:
    given = task(20, 40)
    bridged.train(linear(given), given)
    assert counts(batches) == [(0, 16)] * 3 + [(16, 0)] * 3
    bridged.train(linear(task(20, 0)), task(20, 0))  # vanilla transfer
    assert counts(batches[6:]) == [(16, 0)] * 3


def test_mixup_is_of_the_synthetic_stage_alone(batches: list[list[Batch]]) -> None:
    given = task(20, 40)
    bridged.train(linear(given), given, mixup=1.0)
    ((_, mixed),), ((_, whole),) = batches[0], batches[-1]
    assert mixed.shape == (16, 10) and whole.dtype == torch.int64
    torch.testing.assert_close(mixed.sum(1), torch.ones(16))
    assert ((mixed > 0).sum(1) == 2).any()


def test_the_head_is_reinitialised_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    between: list[dict[str, Tensor]] = []
    run = loop.train

    def noted(model: loop.Normalised, *arguments: Any, **named: Any) -> loop.Cost:
        between.append({name: value.clone() for name, value in model.state_dict().items()})
        cost = run(model, *arguments, **named)
        between.append({name: value.clone() for name, value in model.state_dict().items()})
        return cost

    monkeypatch.setattr(bridged, "run", noted)
    given = task(20, 40)
    bridged.train(convolutional(given), given, reinit=True)
    _, after_first, before_second, _ = between
    changed = {name for name in after_first if not torch.equal(after_first[name], before_second[name])}
    assert changed == {"network.4.weight", "network.4.bias"}
    assert before_second["network.4.weight"].abs().max() <= 1 / 12
    bridged.train(convolutional(given), given, reinit=True)
    assert torch.equal(
        between[6]["network.4.weight"], before_second["network.4.weight"]
    )  # by the trial's seed


def test_pretraining_has_its_own_recipe_and_the_head_is_reinitialised_after_it(
    batches: list[list[Batch]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = task(20, 40)
    reinitialised: list[int] = []
    monkeypatch.setattr(
        pretrain_transfer, "reinitialise", lambda head, seed: reinitialised.append(len(batches))
    )
    pretrain_transfer.train(linear(given), given, pretraining="he_zero_shot")
    # 30 epochs with batches of 512, or all the images there are; then the trial's own three steps.
    assert counts(batches) == [(0, 40)] * 30 + [(16, 0)] * 3
    assert reinitialised == [30]


def test_the_head_is_the_layer_with_an_output_for_each_class() -> None:
    body = nn.Sequential(nn.Linear(3, 10), nn.Linear(10, 4))
    assert head_of(body, 4) is body[1]
    with pytest.raises(InputError, match="no linear layer with 10 outputs"):
        head_of(body, 10)
