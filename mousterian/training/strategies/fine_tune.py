"""Fine-tuning a pre-trained model end to end, its head from class names or fresh (Geng et al. 2024)."""

from __future__ import annotations

from typing import Literal

from mousterian.training.feed import Stream
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.strategies._sources import synthetic
from mousterian.training.strategies._text_heads import check_texts, start_from_texts
from mousterian.training.strategy_checks import TrainingSetup, check_synthetic


def check(setup: TrainingSetup, *, head: str, prompt: str, images: str) -> None:
    """Refuse a head from texts without class names or a text encoder, and training on no images."""
    if images == "synthetic":
        check_synthetic(setup, 'images = "synthetic"')
    if head == "text":
        check_texts(setup, prompt)


def train(
    model: Normalised,
    task: Task,
    *,
    head: Literal["text", "fresh"] = "text",
    prompt: str = "a photo of a {}",
    images: Literal["all", "synthetic"] = "all",
) -> Cost:
    """Train all parameters on real and synthetic images as one shuffled set, from a given head.

    Args:
        head: text: CLIP's vectors of the class names; fresh: as the model is built.
        prompt: text of a class, with {} for its name.
        images: all, or synthetic: the pool's alone, as in Geng et al.'s comparison of retrieved and
            synthetic pools, in which S_base is used only by the evaluation `linear_probe`.
    """
    if head == "text":
        start_from_texts(model.network, task.mixture.class_names, prompt)
    chosen = synthetic(task) if images == "synthetic" else task.mixture
    return run(model, [Stream(chosen, task.recipe.batch_size)], task)
