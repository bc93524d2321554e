"""Feature spaces by name, their outputs, and a cache of the outputs shared by the measures of one run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from mousterian.data.cache import data_directory
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.plugins.spec import Plugin

# A colon separates the values in a name, except inside a table of options.
_COLON = re.compile(r":(?![^{]*\})")


class Output(NamedTuple):
    """The outputs of a feature space for N images.

    Attributes:
        features: (N, D) float32.
        probabilities: (N, K) float32 of the K classes of its network; None if it has none.
    """

    features: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Extractor:
    """A loaded feature space.

    Attributes:
        name: the space's label; values from spaces with different labels must never be compared.
        outputs: of images (N, H, W, C) uint8.
    """

    name: str
    outputs: Callable[[NDArray[np.uint8]], Output]

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features (N, D) float32 of images (N, H, W, C) uint8."""
        return self.outputs(images).features


def load(name: str, device: str = "cpu", data_dir: Path | None = None) -> Extractor:
    """Return the feature space of a name such as "pixels", "classifier:digits" or "timm:resnet18:PATH".

    Args:
        name: a features plug-in, then the values of its options in order, separated by colons.
        device: torch device name.
        data_dir: folder of the datasets and of cached networks; None for the default.

    Raises:
        InputError: an unknown space, or weights that are missing or do not match, with a remedy.
    """
    plugin, options = space_named(name)
    return Extractor(name, plugin.load()(device, data_directory(data_dir), **options))


def space_stamp(name: str, data_dir: Path | None = None) -> str:
    """Return a fingerprint of the files that a space reads; empty if it reads none."""
    plugin, options = space_named(name)
    return plugin.stamp(data_directory(data_dir), options)


def space_revision(name: str) -> int:
    """Return the revision of a space's code, with that of the dataset and model that it is trained with."""
    plugin, options = space_named(name)
    return plugin.revision(options)


class Spaces:
    """Feature spaces and their outputs for whole image sets, each computed once in the set's lifetime.

    Args:
        device: torch device name.
        data_dir: as for `load`.
    """

    def __init__(self, device: str = "cpu", data_dir: Path | None = None) -> None:
        self.device = device
        self.data_dir = data_dir
        self._extractors: dict[str, Extractor] = {}
        self._outputs: WeakKeyDictionary[ImageSet, dict[str, Output]] = WeakKeyDictionary()

    def extractor(self, name: str) -> Extractor:
        """Return the space of that name, loaded once; errors are those of `load`."""
        if name not in self._extractors:
            self._extractors[name] = load(name, self.device, self.data_dir)
        return self._extractors[name]

    def outputs(self, images: ImageSet, name: str) -> Output:
        """Return the outputs of the space of that name for a set of images.

        Raises:
            InputError: the space cannot be loaded, or returns values that are not finite.
        """
        cached = self._outputs.setdefault(images, {})
        if name not in cached:
            cached[name] = self.extractor(name).outputs(images.images)
        if not np.isfinite(cached[name].features).all():
            raise InputError(f"the feature space {name!r} returned values that are not finite")
        return cached[name]


def space_named(name: str) -> tuple[Plugin, dict[str, Any]]:
    """Return the plug-in of a space and its options; "timm:resnet18:PATH" lists them in order.

    Raises:
        InputError: an unknown space, or more values than it has options.
    """
    first, *values = _COLON.split(name)
    plugin = registry.find("features", first)
    if len(values) > len(plugin.options):
        form = ":".join([first, *(option.upper() for option in plugin.options)])
        raise InputError(f"feature space {name!r} has too many parts", hint=f"write it as {form}")
    given = {option: value for option, value in zip(plugin.options, values, strict=False) if value}
    return plugin, plugin.resolve(given)
