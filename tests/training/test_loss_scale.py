"""The loss scale of float16, on CPU tensors: it finds its size by itself; an overflow does no harm."""

from __future__ import annotations

import torch
from torch import Tensor

from mousterian.training import loss_scale
from mousterian.training.loss_scale import FIRST, LossScale

CPU = torch.device("cpu")


def unscaled(scale: LossScale, gradient: float) -> float:
    """Return what becomes of a gradient that was scaled with the loss, in float16's range."""
    held: Tensor = scale.scaled(torch.tensor(gradient)).to(torch.float16).float()
    scale.unscale([held])
    return float(held)


def test_the_scale_is_halved_until_nothing_overflows_and_kept() -> None:
    scale = LossScale(CPU)
    found = [unscaled(scale, 10.0) for _ in range(10)]
    assert found[:4] == [0.0, 0.0, 0.0, 0.0]  # 10 × 2¹⁶ … 2¹³ are past 65,504
    assert found[4:] == [10.0] * 6
    assert float(scale.state()["value"]) == FIRST / 16


def test_one_overflow_clears_all_gradients_and_touches_no_later_ones() -> None:
    scale = LossScale(CPU)
    held = [torch.ones(3), torch.tensor([1.0, float("nan")])]
    scale.unscale(held)
    assert all(not each.any() for each in held)
    assert unscaled(scale, 1e-7) > 0  # float16 alone has nothing below 6e-8, and little there


def test_it_grows_again_after_many_calm_steps() -> None:
    scale = LossScale(CPU)
    for _ in range(loss_scale.STEPS_TO_GROW):
        unscaled(scale, 1e-3)
    assert float(scale.state()["value"]) == 2 * FIRST


def test_it_goes_on_where_a_checkpoint_left_it() -> None:
    scale, other = LossScale(CPU), LossScale(CPU)
    unscaled(scale, 10.0)
    other.load({name: value.clone() for name, value in scale.state().items()})
    assert [unscaled(each, 10.0) for each in (scale, other) for _ in range(5)][4::5] == [10.0, 10.0]
    scale.reset()
    assert float(scale.state()["value"]) == FIRST
