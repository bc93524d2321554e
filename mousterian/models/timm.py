"""Any classifier of the timm library, by its timm name."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

SMALL_SIDE = 64


@cache
def members() -> Iterable[str]:
    """Return the names of timm's models, read from its source: importing timm takes ten seconds."""
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return ()
    pattern = re.compile(r"^@register_model\ndef (\w+)\(", re.MULTILINE)
    sources = Path(spec.submodule_search_locations[0], "models").glob("*.py")
    return frozenset(
        name for source in sources for name in pattern.findall(source.read_text(encoding="utf-8"))
    )


def build(
    classes: int, shape: tuple[int, int, int], *, name: str, pretrained: bool = False, small_stem: bool = True
) -> nn.Module:
    """Build a timm model for these classes and images.

    Args:
        classes: number of classes.
        shape: height, width and channels of one image.
        name: timm's name of the model.
        pretrained: start from timm's weights (a download from a model hub).
        small_stem: for images under 64 pixels, replace a ResNet's 7×7 stride-2 stem and its pooling by a
            3×3 convolution, as is usual for CIFAR; other models get `img_size` if they take one.
    """
    import timm
    from torch import nn

    height, width, channels = shape
    sized = "img_size" in timm.models.model_entrypoint(name).__code__.co_varnames or _takes_size(name)
    options = {"img_size": (height, width)} if sized else {}
    model: nn.Module = timm.create_model(
        name, pretrained=pretrained, num_classes=classes, in_chans=channels, **options
    )
    first, pool = getattr(model, "conv1", None), getattr(model, "maxpool", None)
    if small_stem and min(height, width) < SMALL_SIDE and isinstance(first, nn.Conv2d) and pool is not None:
        model.conv1 = nn.Conv2d(channels, first.out_channels, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model


def _takes_size(name: str) -> bool:
    """Tell whether a model is built for one image size (transformers with position embeddings)."""
    import timm

    return bool(timm.models.get_pretrained_cfg_value(name, "fixed_input_size"))
