"""A pre-trained model tuned end to end, its head from the class names or as it is (Geng et al. 2024)."""

from __future__ import annotations

from typing import Literal

from mousterian.strategies._texts import check_texts, start_from_texts
from mousterian.training.loop import Cost, Normalised, Stream, Task
from mousterian.training.loop import train as run
from mousterian.training.proposal import Proposal


def check(proposal: Proposal, *, head: str, prompt: str) -> None:
    """Refuse a head from texts where there are no class names or no text encoder."""
    if head == "text":
        check_texts(proposal, prompt)


def train(
    model: Normalised,
    task: Task,
    *,
    head: Literal["text", "fresh"] = "text",
    prompt: str = "a photo of a {}",
) -> Cost:
    """Train all parameters on real and synthetic images as one shuffled set, from a given head.

    Args:
        head: text: CLIP's vectors of the class names; fresh: as the model is built.
        prompt: text of a class, {} standing for its name.
    """
    if head == "text":
        start_from_texts(model.network, task.mixture.class_names, prompt)
    return run(model, [Stream(task.mixture, task.recipe.batch_size)], task)
