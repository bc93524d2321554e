"""Accuracy over the steps of training: how fast a mixture or a strategy gets where it gets."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.plugins.options import Positive
from mousterian.training.evaluations._predictions import answers, labels_of, outputs


def observe(
    images: TrialImages,
    device: torch.device,
    *,
    points: Positive = 20,
    split: Literal["test", "real"] = "test",
    batch_size: Positive = 1000,
) -> Curve:
    """Measure the accuracy while the classifier trains, at even distances in each stage and at its end.

    Training is the same with it, bit for bit; it only takes longer. It has no accuracy of its own to fit
    (top1 is empty): name `accuracy` beside it.

    Args:
        images: of the trial.
        device: where to evaluate.
        points: measurements in each stage; fewer where it has fewer steps.
        split: test: on the test images; real: on S_base and the real images added (Li et al., Figure 3).
        batch_size: images at a time.

    Returns:
        What looks on; its columns are curve_steps (optimiser steps, of all stages so far) and curve_top1 (0
        to 1). A stage with another head (MoCo's) has no points.
    """
    real = split == "real"
    return Curve(images.train.take(images.real) if real else images.test, real, device, points, batch_size)


class Curve:
    """See `observe`."""

    def __init__(
        self, images: ImageSet, real: bool, device: torch.device, points: int, batch_size: int
    ) -> None:
        self._images, self._device = images, device
        self._points, self._batch_size = points, batch_size
        self._set = {"evaluation_set": "S_base and real images added"} if real else {}
        self._before = 0
        self._steps: list[int] = []
        self._top1: list[float] = []

    def wants(self, step: int, steps: int) -> bool:
        """Tell whether a point falls here."""
        return step == steps or step * self._points // steps > (step - 1) * self._points // steps

    def look(self, model: nn.Module, step: int) -> None:
        """Measure a point."""
        scores = outputs(model, self._images, self._device, self._batch_size)
        if scores.shape[1] == len(self._images.class_names):
            self._steps.append(self._before + step)
            self._top1.append(answers(scores, labels_of(self._images, self._device))["top1"])

    def over(self, steps: int) -> None:
        """The next stage's steps count on from here."""
        self._before += steps

    def state(self) -> dict[str, Any]:
        """Return the points so far."""
        return {"before": self._before, "steps": list(self._steps), "top1": list(self._top1)}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from these points."""
        self._before, self._steps, self._top1 = state["before"], list(state["steps"]), list(state["top1"])

    def columns(self) -> dict[str, Any]:
        """Return curve_steps and curve_top1."""
        return {"curve_steps": [float(step) for step in self._steps], "curve_top1": self._top1, **self._set}
