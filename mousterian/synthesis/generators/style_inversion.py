"""Dataset style inversion (DSI) of Li et al. (2024): one learnt token for the style of all of S_base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mousterian.data.image_set import ImageSet
from mousterian.synthesis.generators._text_to_image import (
    Rendering,
    TextToImage,
    call_arguments,
    load_pipeline,
    model_stamp,
    to_device,
)
from mousterian.synthesis.generators._textual_inversion import InversionSettings, learn_tokens
from mousterian.synthesis.kinds import GeneratorContext

PRETRAINED = True
STYLE = "<dataset-style>"
ITERATIONS, ITERATIONS_A_CLASS = 20_000, 5_000  # the paper's, for DSI and for inversion per class


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
    """Learn one token S* for the style of S_base; generate from "A C photo in the style of S*" (Li et al.).

    With `per_class`, one token for each class instead (textual inversion), for comparison. Only the tokens
    are learnt; they are saved in the pool's folder, and an interrupted training resumes.

    Args:
        real: S_base.
        context: classes, image shape, seed and device.
        model: a pipeline with one text encoder and a UNet (Stable Diffusion 1.4, 1.5, 2): a folder, or a
            name on a hub.
        per_class: learn a token for each class.
        iterations: training steps; 0: the paper's 20,000, or 5,000 per class with `per_class`.
        batch_size: images per step (not given in the paper).
        learning_rate: Adam's (not given in the paper).
        guidance: scale of classifier-free guidance.
        steps: denoising steps.
        size: side of the training and generated images, pixels; 0: the pipeline's native size.
        rendering: table with batch, dtype, offload, attention_slicing, scheduler and negative.

    Raises:
        InputError: an unsupported pipeline, or a training that diverges.
    """
    render = Rendering.read(rendering)
    names = [name.replace("_", " ") for name in context.class_names]
    settings = (_by_class if per_class else _style)(names, iterations, batch_size, learning_rate)
    pipeline = load_pipeline(model, render, context.device)
    learn_tokens(pipeline.to(context.device), real, settings, context, size)
    arguments = call_arguments(guidance, steps, size)
    texts = [[text] for text in settings.prompts]
    return TextToImage(to_device(pipeline, render, context.device), texts, context, render, arguments)


def _style(names: list[str], iterations: int, batch_size: int, learning_rate: float) -> InversionSettings:
    texts = [f"A {name} photo in the style of {STYLE}" for name in names]
    return InversionSettings([STYLE], ["style"], texts, iterations or ITERATIONS, batch_size, learning_rate)


def _by_class(names: list[str], iterations: int, batch_size: int, learning_rate: float) -> InversionSettings:
    tokens = [f"<class-{label}>" for label in range(len(names))]
    texts = [f"a photo of a {token}" for token in tokens]
    total = iterations or ITERATIONS_A_CLASS * len(names)
    return InversionSettings(tokens, names, texts, total, batch_size, learning_rate)


def stamp(data_dir: Path, *, model: str) -> str:
    """Return a digest of the pipeline's folder."""
    return model_stamp(model, data_dir)
