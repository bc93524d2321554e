"""One source after the other: synthetic then real, or real then synthetic (He et al. 2023, Table 7)."""

from __future__ import annotations

from typing import Literal

from mousterian.strategies._norms import frozen_norms
from mousterian.strategies._sources import real, synthetic
from mousterian.training.loop import Cost, Normalised, Stream, Task
from mousterian.training.loop import train as run


def train(
    model: Normalised,
    task: Task,
    *,
    first: Literal["synthetic", "real"] = "synthetic",
    freeze_bn: bool = False,
) -> Cost:
    """Train in two phases, each with the whole recipe on the images of one source.

    Each phase has the recipe's epochs on its own images, or its iterations, with a schedule that starts
    anew. A mixture without synthetic images has the real phase alone.

    Args:
        first: the source of the first phase.
        freeze_bn: batch norms keep the statistics and parameters that they came with: for pre-trained models.
    """
    phases = [("synthetic", synthetic(task)), ("real", real(task))]
    cost = Cost(0, 0, 0.0)
    with frozen_norms(model, freeze_bn) as through:
        for name, images in phases if first == "synthetic" else reversed(phases):
            if len(images):
                stream = Stream(images, task.recipe.batch_size, through=through)
                cost += run(model, [stream], task, stage=name)
    return cost
