"""Dataset style inversion (DSI) of Li et al. (2024): one learnt token for the style of all of S_base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mousterian.data.image_set import ImageSet
from mousterian.synthesis.generators._text_to_image import (
    Rendering,
    TextToImage,
    call_arguments,
    model_stamp,
    opened,
    placed,
)
from mousterian.synthesis.generators._textual_inversion import Lesson, learn
from mousterian.synthesis.kinds import GeneratorContext

PRETRAINED = True
STYLE = "<dataset-style>"
ITERATIONS, ITERATIONS_A_CLASS = 20_000, 5_000  # the paper's, for DSI and for inversion by class


def fit(
    real: ImageSet,
    context: GeneratorContext,
    *,
    model: str,
    per_class: bool = False,
    iterations: int = 0,
    batch_size: int = 4,
    learning_rate: float = 5e-4,
    guidance: float = 3.5,
    steps: int = 50,
    size: int = 0,
    rendering: dict[str, Any] | None = None,
) -> TextToImage:
    """Learn one token S* for the style of S_base, and draw "A C photo in the style of S*" (Li et al.).

    With `per_class`, one token for each class instead (textual inversion), for comparison. Only the tokens
    are learnt; they are kept in the pool's folder, and a training that is cut off goes on.

    Args:
        real: S_base.
        context: classes, image shape, seed and device.
        model: a pipeline with one text encoder and a UNet (Stable Diffusion 1.4, 1.5, 2): a folder or a hub's
            name.
        per_class: learn a token for each class.
        iterations: training steps; 0 takes the paper's 20,000, or 5,000 a class with `per_class`.
        batch_size: images a step (not given in the paper).
        learning_rate: Adam's (not given in the paper).
        guidance: scale of classifier-free guidance.
        steps: denoising steps.
        size: side of the images as they are learnt from and drawn, pixels; 0 is the pipeline's own.
        rendering: table with batch, dtype, offload, attention_slicing, scheduler and negative.

    Raises:
        InputError: a pipeline that has no single text encoder, or a training that diverges.
    """
    how = Rendering.read(rendering)
    names = [name.replace("_", " ") for name in context.class_names]
    lesson = (_by_class if per_class else _style)(names, iterations, batch_size, learning_rate)
    pipeline = opened(model, how, context.device)
    learn(pipeline.to(context.device), real, lesson, context, size)
    arguments = call_arguments(guidance, steps, size)
    texts = [[text] for text in lesson.texts]
    return TextToImage(placed(pipeline, how, context.device), texts, context, how, arguments)


def _style(names: list[str], iterations: int, batch_size: int, learning_rate: float) -> Lesson:
    texts = [f"A {name} photo in the style of {STYLE}" for name in names]
    return Lesson([STYLE], ["style"], texts, iterations or ITERATIONS, batch_size, learning_rate)


def _by_class(names: list[str], iterations: int, batch_size: int, learning_rate: float) -> Lesson:
    tokens = [f"<class-{label}>" for label in range(len(names))]
    texts = [f"a photo of a {token}" for token in tokens]
    total = iterations or ITERATIONS_A_CLASS * len(names)
    return Lesson(tokens, names, texts, total, batch_size, learning_rate)


def stamp(data_dir: Path, *, model: str) -> str:
    """Return what tells the content of the pipeline's folder."""
    return model_stamp(model)
