"""Features of any timm network, with local weights or a hub's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn

from mousterian.data.content import content_stamp
from mousterian.errors import InputError, first_line
from mousterian.training.feature_networks import in_batches, network_inputs
from mousterian.training.feature_spaces import Output


def load(
    device: str, data_dir: Path, *, model: str, weights: str = ""
) -> Callable[[NDArray[np.uint8]], Output]:
    """Penultimate features of a pre-trained timm network, on images resized to its input size.

    Args:
        device: torch device name.
        data_dir: unused.
        model: name in timm.
        weights: file of the weights (.safetensors, .pth); empty: timm's own, from a hub or its cache.
    """
    import timm

    if not timm.is_model(model.partition(".")[0]):
        raise InputError(f"timm has no network {model!r}", hint="`timm.list_models()` lists them")
    if weights and not Path(weights).expanduser().is_file():
        raise InputError(
            "there is no such file of weights", where=weights, hint="check the path in --features"
        )
    overlay = {"file": str(Path(weights).expanduser())} if weights else None
    try:
        network: nn.Module = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=overlay)
    except (OSError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        raise InputError(
            f"cannot load the weights of timm's {model!r} ({first_line(error)})",
            where=weights,
            hint=f"fetch them where a hub can be reached and name the file: --features timm:{model}:PATH",
        ) from error
    config = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(config[name], device=device) for name in ("mean", "std"))
    embed = partial(_embed, network.to(device).eval(), config["input_size"][1], mean, std)
    return lambda images: in_batches(embed, images, device)


def stamp(data_dir: Path, *, model: str, weights: str = "") -> str:
    """Return a fingerprint of the weights; arguments as for `load`."""
    return content_stamp(Path(weights).expanduser(), data_dir) if weights else ""


def _embed(
    network: nn.Module, side: int, mean: Tensor, std: Tensor, images: Tensor
) -> tuple[Tensor, Tensor | None]:
    maps = network.forward_features(network_inputs(images, side, mean, std))  # type: ignore[operator]
    features: Tensor = network.forward_head(maps, pre_logits=True)  # type: ignore[operator]
    head: nn.Module = network.get_classifier()  # type: ignore[operator]
    return features, None if isinstance(head, nn.Identity) else head(features)
