"""Any classifier of the timm library, by its timm name."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.data.content import content_stamp
from mousterian.errors import InputError

if TYPE_CHECKING:
    from torch import nn


SMALL_SIDE = 64
_FILES = (".safetensors", ".bin", ".pth", ".pt", ".npz")


@cache
def members() -> Iterable[str]:
    """Return the names of timm's models, read from its source, since importing timm takes ten seconds."""
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return ()
    pattern = re.compile(r"^@register_model\ndef (\w+)\(", re.MULTILINE)
    sources = Path(spec.submodule_search_locations[0], "models").glob("*.py")
    return frozenset(
        name for source in sources for name in pattern.findall(source.read_text(encoding="utf-8"))
    )


def build(
    classes: int,
    shape: tuple[int, int, int],
    *,
    name: str,
    pretrained: bool | str = False,
    small_stem: bool = True,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """Build a timm model for these classes and images.

    A pre-trained model's inputs are normalised by its pre-training statistics if they have three channels;
    any other's by those of S_base.

    Args:
        classes: number of classes.
        shape: height, width and channels of one image.
        name: timm's name of the model.
        pretrained: true: timm's weights (downloaded from a model hub); a string: the weights of that tag
            ("augreg_in21k"), or a file of weights on this machine (.safetensors, .pth, …).
        small_stem: for images under 64 pixels, replace a ResNet's 7×7 stride-2 stem and its pooling by a
            3×3 convolution, as is usual for CIFAR; other models get `img_size` if they take one.
        drop_rate: dropout before the last layer, 0 to less than 1.
        drop_path_rate: stochastic depth: fraction of residual branches dropped in training, rising to this
            in the last block; 0 to less than 1.

    Raises:
        InputError: the model has no stochastic depth, or a rate is invalid.
    """
    import timm
    import torch

    _check_rates(drop_rate, drop_path_rate)
    height, width, channels = shape
    sized = "img_size" in timm.models.model_entrypoint(name).__code__.co_varnames or _takes_size(name)
    options: dict[str, Any] = {"img_size": (height, width)} if sized else {}
    options |= {
        key: rate for key, rate in (("drop_rate", drop_rate), ("drop_path_rate", drop_path_rate)) if rate
    }
    file = _file(pretrained)
    if file is not None:
        options["pretrained_cfg_overlay"] = {"file": str(file)}
    tagged = f"{name}.{pretrained}" if isinstance(pretrained, str) and pretrained and file is None else name
    try:
        model: nn.Module = timm.create_model(
            tagged, pretrained=bool(pretrained), num_classes=classes, in_chans=channels, **options
        )
    except TypeError as error:
        raise InputError(
            f"timm's {name!r} cannot be built with {', '.join(options)} ({error})",
            hint="leave out drop_path_rate" if drop_path_rate else "",
        ) from None
    if small_stem and min(height, width) < SMALL_SIDE:
        _shrink_stem(model, channels)
    if pretrained and channels == 3:
        known: dict[str, Any] = getattr(model, "pretrained_cfg")  # noqa: B009 (mypy types a module's attributes as tensors)
        statistics = tuple(torch.tensor(known[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
        model.statistics = statistics  # type: ignore[assignment]
    return model


def check(
    shape: tuple[int, int, int],
    *,
    name: str,
    pretrained: bool | str = False,
    small_stem: bool = True,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> None:
    """Refuse invalid rates, missing weights, and stochastic depth in a model without it.

    Args:
        shape: height, width and channels of one image; the others as for `build`.
    """
    _check_rates(drop_rate, drop_path_rate)
    file = _file(pretrained)
    if file is not None and not file.is_file():
        raise InputError(
            f"there is no file of weights {file}",
            hint="give a path relative to the working directory, a tag of timm's, or pretrained = true",
        )
    if drop_path_rate:
        import torch

        with torch.device("meta"):
            build(2, shape, name=name, drop_path_rate=drop_path_rate)


def stamp(data_dir: Path, *, pretrained: bool | str = False) -> str:
    """Return a fingerprint of the file of weights; "" without one."""
    file = _file(pretrained)
    return content_stamp(file, data_dir) if file is not None else ""


def _check_rates(drop_rate: float, drop_path_rate: float) -> None:
    for key, rate in (("drop_rate", drop_rate), ("drop_path_rate", drop_path_rate)):
        if not 0 <= rate < 1:
            raise InputError(f"{key} is a fraction, 0 to less than 1, not {rate}")


def _file(pretrained: bool | str) -> Path | None:
    """Return the file of weights; None for timm's own weights or none."""
    if not isinstance(pretrained, str):
        return None
    path = Path(pretrained).expanduser()
    return path if path.suffix in _FILES else None


def _shrink_stem(model: nn.Module, channels: int) -> None:
    """Replace a ResNet's 7×7 stem and its pooling by a 3×3 convolution; leave other models as they are."""
    from torch import nn

    first = getattr(model, "conv1", None)
    if isinstance(first, nn.Conv2d) and getattr(model, "maxpool", None) is not None:
        model.conv1 = nn.Conv2d(channels, first.out_channels, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()


def _takes_size(name: str) -> bool:
    """Return whether a model is built for one image size (transformers with position embeddings)."""
    import timm

    return bool(timm.models.get_pretrained_cfg_value(name, "fixed_input_size"))
