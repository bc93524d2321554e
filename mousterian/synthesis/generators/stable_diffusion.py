"""Any text-to-image pipeline of diffusers: Stable Diffusion 1.4 to 3 and similar models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mousterian.synthesis.generators._pool_prompts import pool_prompts, prompts_revisions
from mousterian.synthesis.generators._text_to_image import (
    Rendering,
    TextToImage,
    call_arguments,
    load_pipeline,
    model_stamp,
    to_device,
)
from mousterian.synthesis.kinds import GeneratorContext

nested_revisions = prompts_revisions


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
    """Generate images from text prompts with a pre-trained diffusers pipeline.

    The papers' settings: guidance 7.5 with "High-quality photo of a C" (main paper, SD 2); 3.5 with
    `templates` (Li et al., SD 1.5, DDPM sampling); 2.5, 50 DDIM steps with `captions` (Geng et al., SD 1.5);
    2.0 with `contextual` and `stylised` at 1024 pixels (Diversify). A pipeline's safety checker stays on;
    an image that it blanks is generated again from another seed.

    Args:
        context: classes, image shape, seed and device; images are resized and cropped to the shape.
        model: a folder with model_index.json, or a name on a hub such as "stabilityai/stable-diffusion-2".
        prompts: a prompt maker, or a table with its name, `count` (prompts per class) and options.
        guidance: scale of classifier-free guidance; 1 is none.
        steps: denoising steps.
        size: side of the generated images, pixels; 0: the pipeline's native size.
        rendering: table with batch, dtype, offload, attention_slicing, scheduler and negative.

    Raises:
        InputError: the pipeline or the prompts' language model cannot be loaded, or an invalid option.
    """
    render = Rendering.read(rendering)
    texts = pool_prompts(prompts, context)
    pipeline = to_device(load_pipeline(model, render, context.device), render, context.device)
    return TextToImage(pipeline, texts, context, render, call_arguments(guidance, steps, size))


def stamp(data_dir: Path, *, model: str) -> str:
    """Return a digest of the pipeline's folder."""
    return model_stamp(model, data_dir)
