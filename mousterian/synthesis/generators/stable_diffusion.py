"""Any text-to-image pipeline of diffusers: Stable Diffusion 1.4 to 3 and its kin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mousterian.synthesis.generators._pool_prompts import written
from mousterian.synthesis.generators._text_to_image import (
    Rendering,
    TextToImage,
    call_arguments,
    model_stamp,
    opened,
    placed,
)
from mousterian.synthesis.kinds import GeneratorContext


def load(
    context: GeneratorContext,
    *,
    model: str,
    prompts: str | dict[str, Any] = "class_name",
    guidance: float = 7.5,
    steps: int = 50,
    size: int = 0,
    rendering: dict[str, Any] | None = None,
) -> TextToImage:
    """Draw images from texts with a pre-trained pipeline of diffusers.

    The papers' settings: guidance 7.5 with "High-quality photo of a C" (main paper, SD 2); 3.5 with
    `templates` (Li et al., SD 1.5, DDPM sampling); 2.5, 50 DDIM steps with `captions` (Geng et al., SD 1.5);
    2.0 with `contextual` and `stylised` at 1024 pixels (Diversify). A pipeline's own safety check stays on;
    an image that it blanks is drawn again from another seed.

    Args:
        context: classes, image shape, seed and device; images are resized and cropped to the shape.
        model: a folder with model_index.json, or a hub's name such as "stabilityai/stable-diffusion-2".
        prompts: a prompt maker, or a table with its name, `count` (prompts a class) and options.
        guidance: scale of classifier-free guidance; 1 is none.
        steps: denoising steps.
        size: side of the images as they are drawn, pixels; 0 is the pipeline's own.
        rendering: table with batch, dtype, offload, attention_slicing, scheduler and negative.

    Raises:
        InputError: the pipeline or the language model of the prompts is not to be had, or options are wrong.
    """
    how = Rendering.read(rendering)
    texts = written(prompts, context)
    pipeline = placed(opened(model, how, context.device), how, context.device)
    return TextToImage(pipeline, texts, context, how, call_arguments(guidance, steps, size))


def stamp(data_dir: Path, *, model: str) -> str:
    """Return what tells the content of the pipeline's folder."""
    return model_stamp(model)
