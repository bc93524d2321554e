"""Real guidance (RG) of He et al. (2023): text-to-image that starts from noised real images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.data.resizing import cropped, to_tensor, with_channels
from mousterian.errors import InputError
from mousterian.synthesis.generators._class_rows import rows_by_class
from mousterian.synthesis.generators._pool_prompts import pool_prompts, prompts_revisions
from mousterian.synthesis.generators._text_to_image import (
    Rendering,
    TextToImage,
    call_arguments,
    load_pipeline,
    model_stamp,
    native_size,
    to_device,
)
from mousterian.synthesis.kinds import GeneratorContext

PRETRAINED = True
# The time step t* (of GLIDE's T = 100) at which denoising starts, by real images per class (Appendix A.2).
T_STAR, T = {16: 15, 8: 20, 4: 35, 2: 40, 1: 50}, 100

nested_revisions = prompts_revisions


def strength_for(shots: int) -> float:
    """Return the paper's t*/T for a number of real images per class, rounded down to one of its counts."""
    return T_STAR[max(count for count in T_STAR if count <= max(shots, 1))] / T


def fit(
    real: ImageSet,
    context: GeneratorContext,
    *,
    model: str,
    prompts: str | dict[str, Any] = "class_name",
    guidance: float = 3.0,
    steps: int = 100,
    size: int = 0,
    strength: float = 0.0,
    rendering: dict[str, Any] | None = None,
) -> TextToImage:
    """Generate each image from a prompt and a real image of its class, noised to time step t* (He et al.).

    The real images of a class are used in turn. With less noise, the generated image is closer to the real
    one; the paper's t* of 100 steps is 15, 20, 35, 40 and 50 for 16, 8, 4, 2 and 1 real images per class.

    Args:
        real: S_base; not used for training.
        context: classes, image shape, seed and device.
        model: a pipeline that diffusers can run image-to-image: a folder, or a name on a hub.
        prompts: a prompt maker, or a table with its name, `count` (prompts per class) and options.
        guidance: scale of classifier-free guidance; the paper's is 3.
        steps: denoising steps from pure noise; only the fraction `strength` of them is run.
        size: side of the generated images, pixels; 0: the pipeline's native size.
        strength: t*/T, in (0, 1]; 0: the paper's for the smallest class of S_base.
        rendering: table with batch, dtype, offload, attention_slicing, scheduler and negative.

    Raises:
        InputError: a class without real images, a pipeline without image-to-image, or an invalid option.
    """
    by_class = rows_by_class(real.labels, len(real.class_names))
    shots = min(map(len, by_class))
    if not shots:
        raise InputError("a class of S_base has no real image to start from", where="real_guidance")
    fraction = strength or strength_for(shots)
    if not 0 < fraction <= 1 or int(steps * fraction) < 1:
        raise InputError(
            f"strength {fraction:g} of {steps} steps leaves no step to run",
            where="real_guidance",
            hint=f"give a strength above 0 and at most 1, and steps = {int(np.ceil(1 / max(fraction, 0.01)))}"
            " or more",
        )
    render = Rendering.read(rendering)
    texts = pool_prompts(prompts, context)
    pipeline = _from_images(load_pipeline(model, render, context.device))
    side = size or native_size(pipeline)

    def inputs(labels: NDArray[np.int64], indices: NDArray[np.int64]) -> dict[str, Any]:
        rows = [
            by_class[label][index % len(by_class[label])]
            for label, index in zip(labels, indices, strict=True)
        ]
        pixels = with_channels(to_tensor(real.images[rows], context.device), 3)
        return {"image": cropped(pixels, side, side)}

    arguments = {**call_arguments(guidance, steps, 0), "strength": fraction}
    return TextToImage(to_device(pipeline, render, context.device), texts, context, render, arguments, inputs)


def _from_images(pipeline: Any) -> Any:
    from diffusers import AutoPipelineForImage2Image

    try:
        guided = AutoPipelineForImage2Image.from_pipe(pipeline)
    except ValueError as error:
        raise InputError(
            f"diffusers has no image-to-image pipeline for {type(pipeline).__name__}",
            where="real_guidance",
            hint="use a Stable Diffusion pipeline",
        ) from error
    guided.set_progress_bar_config(disable=True)
    return guided


def stamp(data_dir: Path, *, model: str) -> str:
    """Return a digest of the pipeline's folder."""
    return model_stamp(model, data_dir)
