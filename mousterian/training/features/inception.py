"""The Inception network that FID and IS are defined with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from mousterian.data.content import content_stamp
from mousterian.errors import InputError, missing_package
from mousterian.training.feature_networks import in_batches
from mousterian.training.feature_spaces import Output

# By torch.hub's convention the name ends with the first digits of the file's sha256.
_CHECKSUM = "6726825d"
_FILE = f"weights-inception-2015-12-05-{_CHECKSUM}.pth"


def load(device: str, data_dir: Path, *, weights: str = "") -> Callable[[NDArray[np.uint8]], Output]:
    """TensorFlow's Inception-v3 of 2015 from torch-fidelity: the only space of the standard FID.

    Args:
        device: torch device name.
        data_dir: its folder `features/` is searched for torch-fidelity's weights.
        weights: their file; empty: the one in the data directory.
    """
    path = Path(weights).expanduser() if weights else data_dir / "features" / _FILE
    if not path.is_file():
        raise InputError(
            "the Inception weights are missing",
            where=str(path),
            hint=f"fetch {_FILE} from torch-fidelity's releases on GitHub and put it there, or choose another"
            " feature space: --features classifier:DATASET",
        )
    if not content_stamp(path).startswith(_CHECKSUM):
        raise InputError(
            f"these are not the Inception weights that FID is defined with (their sha256 begins {_CHECKSUM})",
            where=str(path),
            hint="for another network use its own space: --features timm:MODEL:PATH",
        )
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError:
        raise missing_package("the feature space inception", "torch-fidelity", "quality") from None
    outputs = ["2048", "logits_unbiased"]
    network = FeatureExtractorInceptionV3("inception", outputs, feature_extractor_weights_path=str(path))
    embed = partial(_embed, network.to(device).eval())
    return lambda images: in_batches(embed, images, device, batch=64)


def stamp(data_dir: Path, *, weights: str = "") -> str:
    """Return a fingerprint of the weights; arguments as for `load`."""
    return content_stamp(Path(weights).expanduser(), data_dir) if weights else ""


def _embed(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    features, logits = network(images.expand(-1, 3, -1, -1).contiguous())
    return features, logits
