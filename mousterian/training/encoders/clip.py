"""CLIP: embeddings of images and texts in one space, from open_clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mousterian.data.resizing import cropped, to_tensor, with_channels
from mousterian.errors import InputError, first_line, missing_package, unknown_name

BATCH = 256
_SCHEMAS = ("local-dir:", "hf-hub:")
_HINT = (
    "give a model of open_clip with its weights, either a file on this machine"
    " (.safetensors, .bin or .pt) or one of its tags, e.g. RN50 with openai; or local-dir:FOLDER,"
    " a folder with open_clip_config.json and the weights"
)


@dataclass(frozen=True)
class Clip:
    """A CLIP model in evaluation mode, in float32.

    Attributes:
        name: model and weights, as given.
        network: open_clip's model.
        tokenize: texts to token ids (M, L).
        device: torch device name.
        scale: of the logits: factor of cosines before a softmax over texts (about 100).
    """

    name: str
    network: Any
    tokenize: Callable[[list[str]], Tensor]
    device: str
    scale: float

    def images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the vectors (N, D) float32, of unit length, of images (N, H, W, C) uint8, C = 1 or 3."""
        return self._vectors(images, self._encode_images)

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors (M, D) float32, of unit length, of M texts; long ones are truncated."""
        return self._vectors(list(texts), lambda part: self.network.encode_text(self._tokens(part)))

    def _tokens(self, texts: list[str]) -> Tensor:
        return self.tokenize(texts).to(self.device)

    def _encode_images(self, images: NDArray[np.uint8]) -> Tensor:
        visual = self.network.visual
        size = visual.image_size
        height, width = (size, size) if isinstance(size, int) else size
        pixels = cropped(with_channels(to_tensor(images, self.device), 3), height, width)
        mean, deviation = (pixels.new_tensor(values) for values in (visual.image_mean, visual.image_std))
        encoded: Tensor = self.network.encode_image((pixels - mean[:, None, None]) / deviation[:, None, None])
        return encoded

    @torch.inference_mode()
    def _vectors(self, items: Any, encode: Callable[[Any], Tensor]) -> NDArray[np.float32]:
        if not len(items):
            raise InputError("CLIP was given no images or texts", where=self.name)
        parts = [encode(items[start : start + BATCH]) for start in range(0, len(items), BATCH)]
        vectors: NDArray[np.float32] = functional.normalize(torch.cat(parts).float(), dim=-1).cpu().numpy()
        return vectors


@lru_cache(maxsize=1)
def load(model: str, weights: str, device: str) -> Clip:
    """Return a CLIP model; the last one is cached in memory.

    Args:
        model: a name of open_clip ("RN50", "ViT-B-16"), or "local-dir:FOLDER" or "hf-hub:OWNER/NAME", which
            include their weights.
        weights: a file on this machine or a tag of open_clip ("openai"); "" if the model includes them.
        device: torch device name.

    Raises:
        InputError: open_clip is not installed, the model is unknown, or its weights are not available.
    """
    try:
        import open_clip
    except ImportError:
        raise missing_package("CLIP", "open_clip_torch", "text") from None
    name = f"{model} {weights}".strip()
    has_weights = model.startswith(_SCHEMAS)
    if not has_weights and model not in open_clip.list_models():
        raise unknown_name("CLIP model", model, open_clip.list_models(), hint=_HINT)
    if not (weights or has_weights):
        raise InputError("no weights are given for this CLIP model", where=model, hint=_HINT)
    path = Path(weights).expanduser()
    if ("/" in weights or path.suffix) and not path.is_file():
        raise InputError("there is no such file of CLIP weights", where=str(path), hint=_HINT)
    pretrained = str(path) if path.is_file() else weights
    with _load_errors(name):
        network = open_clip.create_model(
            model,
            pretrained=pretrained or None,
            device=device,
            precision="fp32",
            require_pretrained=True,
            pretrained_image=False,
            pretrained_text=False,
        )
        tokenize = open_clip.get_tokenizer(model)
    network.eval().requires_grad_(False)
    return Clip(name, network, tokenize, device, float(network.logit_scale.exp()))


@contextmanager
def _load_errors(name: str) -> Iterator[None]:
    """Raise every failure to load weights as one kind of error."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # files, archives, configurations and the network fail in many ways
        raise InputError(f"CLIP cannot be loaded ({first_line(error)})", where=name, hint=_HINT) from error
