"""Text-to-image with class names whose meaning S_base decides: label ambiguity resolution of Diversify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mousterian.data.image_set import ImageSet
from mousterian.seeds import weights_stamp
from mousterian.synthesis import language_models
from mousterian.synthesis.generators._pool_prompts import kept, written
from mousterian.synthesis.generators._text_to_image import (
    Rendering,
    TextToImage,
    call_arguments,
    model_stamp,
    opened,
    placed,
)
from mousterian.synthesis.kinds import GeneratorContext
from mousterian.synthesis.prompts._label_ambiguity import resolved
from mousterian.training.encoders import clip as clip_models

PRETRAINED = True


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
    """Draw images from texts as `stable_diffusion` does, after deciding what each class name means.

    A language model lists what a name may mean, and the meaning nearest to the class's images in S_base, by
    CLIP, is added to the name ("crane, a large long-legged bird") before prompts are written (Diversify,
    Eq. 1). Nothing is trained.

    Args:
        real: S_base; only looked at by CLIP.
        context: classes, image shape, seed and device.
        model: as for `stable_diffusion`.
        language: language model that lists meanings: a name or a table (see `language_models`).
        clip: CLIP model: a name of open_clip, or "local-dir:FOLDER".
        weights: its weights: a file or a tag.
        prompts: a prompt maker, or a table with its name, `count` (prompts a class) and options.
        guidance: scale of classifier-free guidance; Diversify's is 2.
        steps: denoising steps.
        size: side of the images as they are drawn, pixels; 0 is the pipeline's own; Diversify's is 1024.
        rendering: table with batch, dtype, offload, attention_slicing, scheduler and negative.

    Raises:
        InputError: a model is not to be had, replies cannot be used, or options are wrong.
    """
    how = Rendering.read(rendering)
    texts = kept(context)
    if texts is None:
        model_of_texts = language_models.load(language)
        seen = clip_models.load(clip, weights, context.device)
        names = resolved(
            context.class_names, real.images, real.labels, seen, model_of_texts, seed=context.seed
        )
        texts = written(prompts, context, names)
    pipeline = placed(opened(model, how, context.device), how, context.device)
    return TextToImage(pipeline, texts, context, how, call_arguments(guidance, steps, size))


def stamp(data_dir: Path, *, model: str, clip: str, weights: str) -> str:
    """Return what tells the content of the pipeline's folder and of CLIP's weights."""
    return model_stamp(model) + weights_stamp(clip, weights)
