"""Learning curves: accuracy over the steps of training."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.plugins.options import Positive
from mousterian.training.evaluations._predictions import accuracies, labels_of, outputs


def observe(
    images: TrialImages,
    device: torch.device,
    *,
    points: Positive = 20,
    split: Literal["test", "real"] = "test",
    batch_size: Positive = 1000,
) -> Curve:
    """Measure the accuracy during training, at regular intervals in each stage and at its end.

    Training is unchanged by it, bit for bit, but takes longer. It has no accuracy to fit (top1 is empty), so
    list `accuracy` too.

    Args:
        images: of the trial.
        device: to evaluate on.
        points: measurements in each stage; at most one per step.
        split: test: on the test images; real: on S_base and the real images added (Li et al., Figure 3).
        batch_size: images at a time.

    Returns:
        The observer; its columns are curve_steps (optimiser steps, over all stages) and curve_top1 (0 to 1).
        A stage with another head (MoCo's) has no points.
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
        self._offset = 0
        self._steps: list[int] = []
        self._top1: list[float] = []

    def is_due(self, step: int, steps: int) -> bool:
        """Return whether a point is due at this step."""
        return step == steps or step * self._points // steps > (step - 1) * self._points // steps

    def observe(self, model: nn.Module, step: int) -> None:
        """Measure a point."""
        scores = outputs(model, self._images, self._device, self._batch_size)
        if scores.shape[1] == len(self._images.class_names):
            self._steps.append(self._offset + step)
            self._top1.append(accuracies(scores, labels_of(self._images, self._device))["top1"])

    def end_stage(self, steps: int) -> None:
        """Count the next stage's steps from here."""
        self._offset += steps

    def state(self) -> dict[str, Any]:
        """Return the points so far."""
        return {"before": self._offset, "steps": list(self._steps), "top1": list(self._top1)}

    def load(self, state: dict[str, Any]) -> None:
        """Restore the points."""
        self._offset, self._steps, self._top1 = state["before"], list(state["steps"]), list(state["top1"])

    def columns(self) -> dict[str, Any]:
        """Return curve_steps and curve_top1."""
        return {"curve_steps": [float(step) for step in self._steps], "curve_top1": self._top1, **self._set}
