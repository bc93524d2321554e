"""Features of any timm network, from local weights or a hub."""

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

from mousterian.errors import InputError, first_line
from mousterian.seeds import file_stamp
from mousterian.training.feature_networks import as_network_wants, in_batches
from mousterian.training.feature_spaces import Output


def load(
    device: str, data_dir: Path, *, model: str, weights: str = ""
) -> Callable[[NDArray[np.uint8]], Output]:
    """What a pre-trained timm network gives before its last layer, on images resized to what it was made for.

    Args:
        device: torch device name.
        data_dir: unused.
        model: name in timm.
        weights: file of its weights (.safetensors, .pth); empty: timm's own, which need a hub or its cache.
    """
    import timm

    if not timm.is_model(model.partition(".")[0]):
        raise InputError(f"timm has no network {model!r}", hint="`timm.list_models()` lists them")
    if weights and not Path(weights).expanduser().is_file():
        raise InputError("there are no weights here", where=weights, hint="mend the path in --features")
    overlay = {"file": str(Path(weights).expanduser())} if weights else None
    try:
        network: nn.Module = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=overlay)
    except (OSError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        raise InputError(
            f"cannot load the weights of timm's {model!r} ({first_line(error)})",
            where=weights,
            hint=f"fetch them where a hub can be reached and name the file: --features timm:{model}:PATH",
        ) from error
    wanted = timm.data.resolve_model_data_config(network)
    mean, std = (torch.tensor(wanted[name], device=device) for name in ("mean", "std"))
    look = partial(_look, network.to(device).eval(), wanted["input_size"][1], mean, std)
    return lambda images: in_batches(look, images, device)


def stamp(data_dir: Path, *, model: str, weights: str = "") -> str:
    """Return what tells the content of the weights; arguments as for `load`."""
    return file_stamp(Path(weights).expanduser()) if weights else ""


def _look(
    network: nn.Module, side: int, mean: Tensor, std: Tensor, images: Tensor
) -> tuple[Tensor, Tensor | None]:
    maps = network.forward_features(as_network_wants(images, side, mean, std))  # type: ignore[operator]
    features: Tensor = network.forward_head(maps, pre_logits=True)  # type: ignore[operator]
    head: nn.Module = network.get_classifier()  # type: ignore[operator]
    return features, None if isinstance(head, nn.Identity) else head(features)
