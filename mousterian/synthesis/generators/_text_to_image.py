"""Shared by the text-to-image generators: a diffusers pipeline, its memory, a seed for every image."""

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

from mousterian.data.content import content_stamp
from mousterian.data.resizing import cropped, to_array, with_channels
from mousterian.errors import InputError, first_line, unknown_name
from mousterian.seeds import seed_for
from mousterian.synthesis.kinds import GeneratorContext

_log = logging.getLogger(__name__)
_DTYPES = ("auto", "float32", "float16", "bfloat16")
_OFFLOADS = {"none": "", "model": "enable_model_cpu_offload", "sequential": "enable_sequential_cpu_offload"}
_RETRIES = 3  # with other seeds, of an image that the pipeline's safety checker blanked
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Rendering:
    """How a pipeline is run, apart from guidance, steps and size: the keys of the option `rendering`.

    Attributes:
        batch: batch size; reduced if memory runs out.
        dtype: of the weights: float32, float16, bfloat16, or "auto" (bfloat16 on an accelerator).
        offload: keep parts of the pipeline off the accelerator: none, model (whole parts) or sequential
            (layer by layer: slow, with the least memory).
        attention_slicing: compute attention and the decoder in slices.
        scheduler: class name of a diffusers scheduler, e.g. "DDIMScheduler"; empty: the pipeline's.
        negative: negative prompt.
    """

    batch: int = 8
    dtype: str = "auto"
    offload: str = "none"
    attention_slicing: bool = False
    scheduler: str = ""
    negative: str = ""

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> Rendering:
        """Return the settings of a table.

        Raises:
            InputError: an unknown key, or an invalid value.
        """
        where = "option rendering"
        known = {each.name: type(each.default) for each in fields(cls)}
        for name, value in (given or {}).items():
            if name not in known:
                raise unknown_name("key", name, known, where=where)
            if type(value) is not known[name]:
                raise InputError(f"{name} = {value!r} is not {known[name].__name__}", where=where)
        settings = cls(**(given or {}))
        if settings.batch < 1:
            raise InputError(f"batch must be 1 or more, not {settings.batch}", where=where)
        if settings.dtype not in _DTYPES:
            raise unknown_name("dtype", settings.dtype, _DTYPES, where=where)
        if settings.offload not in _OFFLOADS:
            raise unknown_name("offload", settings.offload, _OFFLOADS, where=where)
        return settings

    def torch_dtype(self, device: str) -> torch.dtype:
        """Return the dtype of the weights on a device."""
        auto = "float32" if device == "cpu" else "bfloat16"
        dtype: torch.dtype = getattr(torch, auto if self.dtype == "auto" else self.dtype)
        return dtype


def load_pipeline(model: str, rendering: Rendering, device: str) -> Any:
    """Load a diffusers pipeline from a local folder or a hub; only safetensors weights are read.

    Raises:
        InputError: diffusers or a package it needs is missing, or the pipeline cannot be loaded.
    """
    path = Path(model).expanduser()
    try:
        import diffusers
        import transformers  # noqa: F401 (for the text encoders)

        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            str(path) if path.is_dir() else model,
            dtype=rendering.torch_dtype(device),
            use_safetensors=True,
        )
    except ImportError as error:
        raise InputError(
            f"text-to-image generators need a package that is missing ({error})",
            where=model,
            hint="pip install 'mousterian[train,text]'",
        ) from error
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"the text-to-image pipeline cannot be loaded ({first_line(error)})",
            where=model,
            hint="set `model` to a folder with model_index.json and safetensors weights, as diffusers saves"
            " it, or to a name on a hub that this machine can reach",
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


def to_device(pipeline: Any, rendering: Rendering, device: str) -> Any:
    """Move a pipeline to the device, or enable its offloading there, and return it."""
    enable_offload = _OFFLOADS[rendering.offload]
    if enable_offload and device != "cpu":
        getattr(pipeline, enable_offload)(device=device)
    else:
        pipeline.to(device)
    if rendering.attention_slicing:
        pipeline.enable_attention_slicing()
        if hasattr(getattr(pipeline, "vae", None), "enable_slicing"):
            pipeline.vae.enable_slicing()
    return pipeline


def native_size(pipeline: Any) -> int:
    """Return the side of the images that the pipeline was trained on, pixels."""
    network = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    side = getattr(getattr(network, "config", None), "sample_size", None)
    if not isinstance(side, int):
        raise InputError(
            "this pipeline does not specify the size of its images",
            where=type(pipeline).__name__,
            hint="set the option `size`, e.g. size = 512",
        )
    return side * int(getattr(pipeline, "vae_scale_factor", 1))


@dataclass
class TextToImage:
    """Generates each image from its prompt and its seed, independently of its batch.

    Attributes:
        pipeline: of diffusers, on its device.
        texts: the prompts of each class, used in turn.
        context: classes and image shape; generated images are resized and cropped to the shape.
        rendering: batch size, negative prompt.
        arguments: of the pipeline's call, for all images: guidance, steps, size.
        inputs: returns the arguments that differ by image, given labels and indices (N,).
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
                hint="leave this option at 0 or empty",
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
        """Batch size that the pool asks for; reduced if memory runs out."""
        return self.rendering.batch

    def sample(self, labels: Labels, indices: Labels, seeds: Labels) -> NDArray[np.uint8]:
        """Return images (N, H, W, C) uint8 of the context's shape."""
        starts = range(0, len(labels), self.batch)
        rows = [slice(start, start + self.batch) for start in starts]
        return np.concatenate([self._generated(labels[part], indices[part], seeds[part]) for part in rows])

    def _generated(self, labels: Labels, indices: Labels, seeds: Labels) -> NDArray[np.uint8]:
        images, blank = self._run(labels, indices, seeds)
        for attempt in range(_RETRIES):
            rows = np.flatnonzero(blank)
            if not len(rows):
                break
            new_seeds = np.array(
                [seed_for("redraw", int(seed), attempt) for seed in seeds[rows]], dtype=np.int64
            )
            images[rows], blank[rows] = self._run(labels[rows], indices[rows], new_seeds)
        if blank.any():
            _log.warning("%d images are blank: the safety checker rejected every attempt", blank.sum())
        return images

    @torch.inference_mode()
    def _run(
        self, labels: Labels, indices: Labels, seeds: Labels
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return images and which of them the pipeline's safety checker blanked (N,)."""
        output = self.pipeline(
            prompt=self.prompts(labels, indices),
            generator=[torch.Generator().manual_seed(int(seed)) for seed in seeds],
            output_type="pt",
            **self.arguments,
            **self._negative(len(labels)),
            **self.inputs(labels, indices),
        )
        height, width, channels = self.context.shape
        pixels = output.images.float()
        if not torch.isfinite(pixels).all():
            raise InputError(
                "the pipeline generated pixels that are not finite",
                where=type(self.pipeline).__name__,
                hint='set rendering = {dtype = "float32"} or {dtype = "bfloat16"}',
            )
        images = to_array(with_channels(cropped(pixels, height, width), channels))
        flagged = getattr(output, "nsfw_content_detected", None) or [False] * len(labels)
        return images, np.array(flagged, dtype=bool)


def call_arguments(guidance: float, steps: int, size: int) -> dict[str, Any]:
    """Return the arguments of a pipeline's call, without those that are 0."""
    given = {"num_inference_steps": steps, "height": size, "width": size}
    return {"guidance_scale": guidance} | {name: value for name, value in given.items() if value}


def model_stamp(model: str, data_dir: Path) -> str:
    """Return a digest of a local pipeline's folder; empty for a name on a hub."""
    return content_stamp(Path(model).expanduser(), data_dir)
