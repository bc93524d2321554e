"""Joint training: real and synthetic images concatenated and shuffled (main paper, Appendix D)."""

from __future__ import annotations

from mousterian.training.feed import Stream
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run


def train(model: Normalised, task: Task) -> Cost:
    """Train on base, real added and synthetic added images as one shuffled set."""
    return run(model, [Stream(task.mixture, task.recipe.batch_size)], task)
