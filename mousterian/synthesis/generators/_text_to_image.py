"""What generators that draw from texts share: a diffusers pipeline, its memory, a seed for every image."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mousterian.data.resizing import cropped, to_array, with_channels
from mousterian.errors import InputError, first_line, unknown_name
from mousterian.seeds import file_stamp, seed_for
from mousterian.synthesis.kinds import GeneratorContext

_log = logging.getLogger(__name__)
_DTYPES = ("auto", "float32", "float16", "bfloat16")
_OFFLOADS = {"none": "", "model": "enable_model_cpu_offload", "sequential": "enable_sequential_cpu_offload"}
_REDRAWS = 3  # how often an image that a pipeline's own safety check blanked is drawn from another seed
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Rendering:
    """How a pipeline draws, beside guidance, steps and size: the keys of the option `rendering`.

    Attributes:
        batch: images at once; fewer where memory runs out.
        dtype: of the weights: float32, float16, bfloat16, or "auto" (bfloat16 on an accelerator).
        offload: keep parts of the pipeline off the accelerator: none, model (whole parts) or sequential
            (layer by layer: slow, and least memory).
        attention_slicing: compute attention and the decoder in slices.
        scheduler: a scheduler of diffusers' by its class, e.g. "DDIMScheduler"; the pipeline's own if empty.
        negative: what the images are not to show.
    """

    batch: int = 8
    dtype: str = "auto"
    offload: str = "none"
    attention_slicing: bool = False
    scheduler: str = ""
    negative: str = ""

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> Rendering:
        """Return the settings that a table gives.

        Raises:
            InputError: an unknown key, a value of the wrong type, or one that does not exist.
        """
        where = "option rendering"
        known = {each.name: type(each.default) for each in fields(cls)}
        for name, value in (given or {}).items():
            if name not in known:
                raise unknown_name("key", name, known, where=where)
            if type(value) is not known[name]:
                raise InputError(f"{name} = {value!r} is not {known[name].__name__}", where=where)
        made = cls(**(given or {}))
        if made.batch < 1:
            raise InputError(f"batch must be 1 or more, not {made.batch}", where=where)
        if made.dtype not in _DTYPES:
            raise unknown_name("dtype", made.dtype, _DTYPES, where=where)
        if made.offload not in _OFFLOADS:
            raise unknown_name("offload", made.offload, _OFFLOADS, where=where)
        return made

    def torch_dtype(self, device: str) -> torch.dtype:
        """Return the weights' type on a device."""
        auto = "float32" if device == "cpu" else "bfloat16"
        dtype: torch.dtype = getattr(torch, auto if self.dtype == "auto" else self.dtype)
        return dtype


def opened(model: str, rendering: Rendering, device: str) -> Any:
    """Return a diffusers pipeline from a local folder or a hub's name; only safetensors weights are read.

    Raises:
        InputError: diffusers or its helpers are missing, or there is no such pipeline.
    """
    path = Path(model).expanduser()
    try:
        import diffusers
        import transformers  # noqa: F401 (the text encoders are its)

        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            str(path) if path.is_dir() else model,
            dtype=rendering.torch_dtype(device),
            use_safetensors=True,
        )
    except ImportError as error:
        raise InputError(
            f"text-to-image generators need another package ({error})",
            where=model,
            hint="pip install 'mousterian[train,text]'",
        ) from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"the text-to-image pipeline cannot be loaded ({first_line(error)})",
            where=model,
            hint="give `model` a folder with model_index.json and weights in safetensors, as diffusers saves"
            " it, or a name on a hub that this machine reaches",
        ) from error
    if rendering.scheduler:
        pipeline.scheduler = _scheduler(rendering.scheduler, pipeline)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _scheduler(name: str, pipeline: Any) -> Any:
    import diffusers

    known = [each for each in dir(diffusers) if each.endswith("Scheduler")]
    if name not in known:
        raise unknown_name("scheduler", name, known, where="option rendering")
    return getattr(diffusers, name).from_config(pipeline.scheduler.config)


def placed(pipeline: Any, rendering: Rendering, device: str) -> Any:
    """Put a pipeline on the device in the way that its memory asks for, and return it."""
    way = _OFFLOADS[rendering.offload]
    if way and device != "cpu":
        getattr(pipeline, way)(device=device)
    else:
        pipeline.to(device)
    if rendering.attention_slicing:
        pipeline.enable_attention_slicing()
        if hasattr(getattr(pipeline, "vae", None), "enable_slicing"):
            pipeline.vae.enable_slicing()
    return pipeline


def native_size(pipeline: Any) -> int:
    """Return the side of the images that the pipeline was made for, pixels."""
    network = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    side = getattr(getattr(network, "config", None), "sample_size", None)
    if not isinstance(side, int):
        raise InputError(
            "this pipeline does not say how large its images are",
            where=type(pipeline).__name__,
            hint="give the option `size`, e.g. size = 512",
        )
    return side * int(getattr(pipeline, "vae_scale_factor", 1))


@dataclass
class TextToImage:
    """Draws each image from its prompt and its seed, whatever else is drawn with it.

    Attributes:
        pipeline: of diffusers, on its device.
        texts: the prompts of each class, used in turn.
        context: classes and image shape; drawn images are resized and cropped to the shape.
        rendering: batch, memory and the like.
        arguments: of the pipeline's call, for all images: guidance, steps, size.
        inputs: gives those that differ by image, from labels and indices (N,).
    """

    pipeline: Any
    texts: Sequence[Sequence[str]]
    context: GeneratorContext
    rendering: Rendering
    arguments: Mapping[str, Any]
    inputs: Callable[[Labels, Labels], dict[str, Any]] = field(default=lambda labels, indices: {})

    def __post_init__(self) -> None:
        given = {*self.arguments, *self._negative(1)}
        unknown = given - set(inspect.signature(self.pipeline.__call__).parameters)
        if unknown:
            raise InputError(
                f"this pipeline does not take {', '.join(sorted(unknown))}",
                where=type(self.pipeline).__name__,
                hint="leave that option at 0 or empty",
            )

    def _negative(self, count: int) -> dict[str, list[str]]:
        return {"negative_prompt": [self.rendering.negative] * count} if self.rendering.negative else {}

    def prompts(self, labels: Labels, indices: Labels) -> list[str]:
        """Return the prompt of each image."""
        return [
            self.texts[label][index % len(self.texts[label])]
            for label, index in zip(labels, indices, strict=True)
        ]

    @property
    def batch(self) -> int:
        """How many images the pool asks for at a time; it asks for fewer where memory runs out."""
        return self.rendering.batch

    def sample(self, labels: Labels, indices: Labels, seeds: Labels) -> NDArray[np.uint8]:
        """Return images (N, H, W, C) uint8 of the context's shape."""
        starts = range(0, len(labels), self.batch)
        rows = [slice(start, start + self.batch) for start in starts]
        return np.concatenate([self._drawn(labels[part], indices[part], seeds[part]) for part in rows])

    def _drawn(self, labels: Labels, indices: Labels, seeds: Labels) -> NDArray[np.uint8]:
        images, blank = self._called(labels, indices, seeds)
        for attempt in range(_REDRAWS):
            rows = np.flatnonzero(blank)
            if not len(rows):
                break
            again = np.array([seed_for("redraw", int(seed), attempt) for seed in seeds[rows]], dtype=np.int64)
            images[rows], blank[rows] = self._called(labels[rows], indices[rows], again)
        if blank.any():
            _log.warning("%d images stay blank: the pipeline's safety check refused each draw", blank.sum())
        return images

    @torch.inference_mode()
    def _called(
        self, labels: Labels, indices: Labels, seeds: Labels
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return images and which of them the pipeline's safety check blanked (N,)."""
        made = self.pipeline(
            prompt=self.prompts(labels, indices),
            generator=[torch.Generator().manual_seed(int(seed)) for seed in seeds],
            output_type="pt",
            **self.arguments,
            **self._negative(len(labels)),
            **self.inputs(labels, indices),
        )
        height, width, channels = self.context.shape
        pixels = made.images.float()
        if not torch.isfinite(pixels).all():
            raise InputError(
                "the pipeline drew images that are not numbers",
                where=type(self.pipeline).__name__,
                hint='give rendering = {dtype = "float32"} or {dtype = "bfloat16"}',
            )
        images = to_array(with_channels(cropped(pixels, height, width), channels))
        flagged = getattr(made, "nsfw_content_detected", None) or [False] * len(labels)
        return images, np.array(flagged, dtype=bool)


def call_arguments(guidance: float, steps: int, size: int) -> dict[str, Any]:
    """Return the arguments of a pipeline's call; what is 0 is left to the pipeline."""
    given = {"num_inference_steps": steps, "height": size, "width": size}
    return {"guidance_scale": guidance} | {name: value for name, value in given.items() if value}


def model_stamp(model: str) -> str:
    """Return what tells the content of a local pipeline's folder; empty for a hub's name."""
    return file_stamp(Path(model).expanduser())
