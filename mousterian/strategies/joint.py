"""Joint training: concatenate real and synthetic images and shuffle (main paper, Appendix D)."""

from __future__ import annotations

from mousterian.training.loop import Cost, Normalised, Stream, Task, to_device
from mousterian.training.loop import train as run


def train(model: Normalised, task: Task) -> Cost:
    """Train on base, real added and synthetic added images as one shuffled set."""
    images, labels = to_device(task.mixture, task.device)
    return run(model, [Stream(images, labels, task.recipe.batch_size)], task)
