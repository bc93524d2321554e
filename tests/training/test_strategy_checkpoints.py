"""Strategies that are interrupted resume from their checkpoints, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from digit_tasks import convolutional, task
from interrupted import CutError, allow_batches
from torch import Tensor

from mousterian.training import loop
from mousterian.training.checkpoint import Checkpoint
from mousterian.training.strategies import auxiliary_bn, balanced, bridged, phase_wise, two_stream


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        (balanced.train, {}),
        (auxiliary_bn.train, {}),
        (two_stream.train, {"real_batch": 4, "syn_batch": 8, "freeze_bn": True}),
        (phase_wise.train, {}),
        (bridged.train, {"mixup": 0.5, "reinit": True}),
    ],
    ids=lambda value: getattr(value, "__module__", ""),
)
@pytest.mark.parametrize("acceleration", ["eager", "graph"])
def test_a_strategy_cut_off_goes_on_where_it_stopped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strategy: Callable[..., loop.Cost],
    options: dict[str, Any],
    acceleration: str,
) -> None:
    def weights(kept: Checkpoint | None) -> dict[str, Tensor]:
        given = task(20, 30, iterations=4, flip=True)
        given = loop.replace(given, checkpoint=kept, acceleration=acceleration)
        model = convolutional(given)
        strategy(model, given, **options)
        return model.state_dict()

    whole = weights(None)
    path = tmp_path / "one.checkpoint"
    for calls in (5, 2):
        allow_batches(monkeypatch, calls)
        with pytest.raises(CutError):
            weights(Checkpoint(path, "a trial", every=0))
    allow_batches(monkeypatch, 99)
    resumed = weights(Checkpoint(path, "a trial", every=0))
    assert path.exists()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
