"""Text-to-image after the label ambiguity resolution of Diversify: S_base decides what class names mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mousterian.data.image_set import ImageSet
from mousterian.synthesis import language_models
from mousterian.synthesis.generators._pool_prompts import pool_prompts, prompts_revisions, saved_prompts
from mousterian.synthesis.generators._text_to_image import (
    Rendering,
    TextToImage,
    call_arguments,
    load_pipeline,
    model_stamp,
    to_device,
)
from mousterian.synthesis.kinds import GeneratorContext
from mousterian.synthesis.prompts._label_ambiguity import resolved
from mousterian.training.encoders import clip as clip_models
from mousterian.training.encoders.clip_weights import weights_stamp

PRETRAINED = True

nested_revisions = prompts_revisions


def fit(
    real: ImageSet,
    context: GeneratorContext,
    *,
    model: str,
    language: str | dict[str, Any],
    clip: str,
    weights: str = "",
    prompts: str | dict[str, Any] = "class_name",
    guidance: float = 2.0,
    steps: int = 50,
    size: int = 0,
    rendering: dict[str, Any] | None = None,
) -> TextToImage:
    """Generate images as `stable_diffusion` does, after deciding what each class name means.

    A language model lists the meanings of a name, and the one closest to the class's images in S_base in CLIP
    space is appended to the name ("crane, a large long-legged bird") before prompts are written (Diversify,
    Eq. 1). Nothing is trained.

    Args:
        real: S_base; used by CLIP only.
        context: classes, image shape, seed and device.
        model: as for `stable_diffusion`.
        language: language model that lists meanings: a name or a table (see `language_models`).
        clip: CLIP model: a name of open_clip, or "local-dir:FOLDER".
        weights: its weights: a file or a tag.
        prompts: a prompt maker, or a table with its name, `count` (prompts per class) and options.
        guidance: scale of classifier-free guidance; Diversify's is 2.
        steps: denoising steps.
        size: side of the generated images, pixels; 0: the pipeline's native size; Diversify's is 1024.
        rendering: table with batch, dtype, offload, attention_slicing, scheduler and negative.

    Raises:
        InputError: a model cannot be loaded, its replies cannot be used, or an invalid option.
    """
    render = Rendering.read(rendering)
    texts = saved_prompts(context)
    if texts is None:
        models = clip_models.load(clip, weights, context.device), language_models.load(language)
        names = resolved(context.class_names, real.images, real.labels, *models, seed=context.seed)
        texts = pool_prompts(prompts, context, names)
    pipeline = to_device(load_pipeline(model, render, context.device), render, context.device)
    return TextToImage(pipeline, texts, context, render, call_arguments(guidance, steps, size))


def stamp(data_dir: Path, *, model: str, clip: str, weights: str) -> str:
    """Return a digest of the pipeline's folder and of CLIP's weights."""
    return model_stamp(model, data_dir) + weights_stamp(clip, weights, data_dir)
