"""The Inception network that FID and IS are defined with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from mousterian.errors import InputError
from mousterian.seeds import file_stamp
from mousterian.training.feature_networks import in_batches
from mousterian.training.feature_spaces import Output

# As torch.hub has it, the name ends with the first digits of the file's sha256.
_SUM = "6726825d"
_FILE = f"weights-inception-2015-12-05-{_SUM}.pth"


def load(device: str, data_dir: Path, *, weights: str = "") -> Callable[[NDArray[np.uint8]], Output]:
    """TensorFlow's Inception-v3 of 2015 through torch-fidelity: the only space whose FID is *the* FID.

    Args:
        device: torch device name.
        data_dir: where torch-fidelity's weights are looked for, in `features/`.
        weights: their file; empty: the one in the data directory.
    """
    path = Path(weights).expanduser() if weights else data_dir / "features" / _FILE
    if not path.is_file():
        raise InputError(
            "the Inception weights are not here",
            where=str(path),
            hint=f"fetch {_FILE} from torch-fidelity's releases on GitHub and put it there, or name another"
            " feature space: --features classifier:DATASET",
        )
    if not file_stamp(path).startswith(_SUM):
        raise InputError(
            f"these are not the Inception weights that FID is defined with (their sha256 begins {_SUM})",
            where=str(path),
            hint="any other network gives another space: --features timm:MODEL:PATH",
        )
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError:
        raise InputError(
            "the feature space inception needs the package torch-fidelity",
            hint="install it: pip install 'mousterian[quality]'",
        ) from None
    wanted = ["2048", "logits_unbiased"]
    network = FeatureExtractorInceptionV3("inception", wanted, feature_extractor_weights_path=str(path))
    look = partial(_look, network.to(device).eval())
    return lambda images: in_batches(look, images, device, batch=64)


def stamp(data_dir: Path, *, weights: str = "") -> str:
    """Return what tells the content of the weights; arguments as for `load`."""
    return file_stamp(Path(weights).expanduser()) if weights else ""


def _look(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    features, logits = network(images.expand(-1, 3, -1, -1).contiguous())
    return features, logits
