"""Real guidance (RG) of He et al. (2023): text-to-image that starts from noised real images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.data.image_set import ImageSet
from mousterian.data.resizing import cropped, to_tensor, with_channels
from mousterian.errors import InputError
from mousterian.synthesis.generators._pool_prompts import written
from mousterian.synthesis.generators._text_to_image import (
    Rendering,
    TextToImage,
    call_arguments,
    model_stamp,
    native_size,
    opened,
    placed,
)
from mousterian.synthesis.kinds import GeneratorContext

PRETRAINED = True
# The time-step t* of GLIDE's T = 100 from which denoising starts, by real images of a class (Appendix A.2).
T_STAR, T = {16: 15, 8: 20, 4: 35, 2: 40, 1: 50}, 100


def strength_for(shots: int) -> float:
    """Return t*/T for a number of real images a class: that of the paper's largest count not above it."""
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
    """Draw each image from a text and from a real image of its class, noised to time-step t* (He et al.).

    The real images of a class take turns. The less noise, the nearer the drawn image stays to the real one;
    the paper's t* of 100 steps is 15, 20, 35, 40 and 50 for 16, 8, 4, 2 and 1 real images a class.

    Args:
        real: S_base; nothing is trained on it.
        context: classes, image shape, seed and device.
        model: a pipeline that diffusers can also run from image to image: a folder or a hub's name.
        prompts: a prompt maker, or a table with its name, `count` (prompts a class) and options.
        guidance: scale of classifier-free guidance; the paper's is 3.
        steps: denoising steps from pure noise; only the share `strength` of them is run.
        size: side of the images as they are drawn, pixels; 0 is the pipeline's own.
        strength: t*/T, above 0 to 1; 0 takes the paper's for the smallest class of S_base.
        rendering: table with batch, dtype, offload, attention_slicing, scheduler and negative.

    Raises:
        InputError: a class without real images, a pipeline that cannot start from images, or wrong options.
    """
    by_class = [np.flatnonzero(real.labels == label) for label in range(len(real.class_names))]
    shots = min(map(len, by_class))
    if not shots:
        raise InputError("a class of S_base has no real image to start from", where="real_guidance")
    share = strength or strength_for(shots)
    if not 0 < share <= 1 or int(steps * share) < 1:
        raise InputError(
            f"strength {share:g} of {steps} steps leaves no step to run",
            where="real_guidance",
            hint=f"give a strength above 0 and at most 1, and steps = {int(np.ceil(1 / max(share, 0.01)))}"
            " or more",
        )
    how = Rendering.read(rendering)
    texts = written(prompts, context)
    pipeline = _from_images(opened(model, how, context.device))
    side = size or native_size(pipeline)

    def inputs(labels: NDArray[np.int64], indices: NDArray[np.int64]) -> dict[str, Any]:
        rows = [
            by_class[label][index % len(by_class[label])]
            for label, index in zip(labels, indices, strict=True)
        ]
        pixels = with_channels(to_tensor(real.images[rows], context.device), 3)
        return {"image": cropped(pixels, side, side)}

    arguments = {**call_arguments(guidance, steps, 0), "strength": share}
    return TextToImage(placed(pipeline, how, context.device), texts, context, how, arguments, inputs)


def _from_images(pipeline: Any) -> Any:
    from diffusers import AutoPipelineForImage2Image

    try:
        guided = AutoPipelineForImage2Image.from_pipe(pipeline)
    except ValueError as error:
        raise InputError(
            f"diffusers cannot start {type(pipeline).__name__} from images",
            where="real_guidance",
            hint="take a Stable Diffusion pipeline",
        ) from error
    guided.set_progress_bar_config(disable=True)
    return guided


def stamp(data_dir: Path, *, model: str) -> str:
    """Return what tells the content of the pipeline's folder."""
    return model_stamp(model)
