"""Joint training: concatenate real and synthetic images and shuffle (main paper, Appendix D)."""

from __future__ import annotations

from collections.abc import Sequence

from mousterian.training import fused
from mousterian.training.loop import Cost, Diverged, Normalised, Stream, Task
from mousterian.training.loop import train as run


def train(model: Normalised, task: Task) -> Cost:
    """Train on base, real added and synthetic added images as one shuffled set."""
    return run(model, [Stream(task.mixture, task.recipe.batch_size)], task)


def train_together(models: Sequence[Normalised], tasks: Sequence[Task]) -> list[Cost | Diverged]:
    """Do the same for several models of one shape at once."""
    return fused.train_together(models, tasks)
