"""Features of a small classifier trained on a dataset's real training images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from mousterian.data.image_set import ImageSet
from mousterian.data.loading import dataset_named
from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.plugins import registry
from mousterian.seeds import digest
from mousterian.training.feature_networks import default_recipe, in_batches, penultimate, trained, untrained
from mousterian.training.feature_spaces import Output
from mousterian.training.loop import Normalised
from mousterian.training.recipes import recipe as recipe_of

REVISION = 1
_PURPOSE = "feature classifier"


def load(
    device: str, data_dir: Path, *, dataset: str, model: str = "small_cnn", recipe: str = ""
) -> Callable[[NDArray[np.uint8]], Output]:
    """Penultimate features of a classifier trained on the real training images; trained once and cached.

    Args:
        device: torch device name.
        data_dir: folder of the datasets and of the trained network.
        dataset: dataset plug-in, or a table `{name = "...", ...}` with its options.
        model: classifier plug-in, with its defaults.
        recipe: row of the recipe table; empty: `small` below 16×16 pixels, else `fashion`.
    """
    plugin, options = dataset_named(dataset)
    images: ImageSet = plugin.load()("train", data_dir, **options, **plugin.preset)
    chosen = recipe or default_recipe(images)
    values = recipe_of(chosen).model_dump(mode="json")
    stamp = plugin.stamp(data_dir, options)
    revisions = nested_revisions(dataset=dataset, model=model)
    revised = [revisions] if max(revisions) > 1 else []
    key = digest([REVISION, plugin.name, options, stamp, model, values, *revised])
    path = data_dir / "features" / f"{key}.safetensors"
    classifier = _read(path, images, model) if path.exists() else _train(path, images, model, chosen, device)
    return partial(_outputs, classifier.to(device).eval(), device, images.shape)


def stamp(data_dir: Path, *, dataset: str, model: str = "small_cnn", recipe: str = "") -> str:
    """Return a fingerprint of the dataset's files; arguments as for `load`."""
    plugin, options = dataset_named(dataset)
    return plugin.stamp(data_dir, options)


def nested_revisions(*, dataset: str, model: str = "small_cnn") -> list[int]:
    """Return the revisions of the dataset and of the classifier; arguments as for `load`."""
    plugin, options = dataset_named(dataset)
    classifier = registry.find("models", model)
    return [plugin.revision(options), classifier.revision(classifier.resolve({}))]


def _outputs(
    classifier: nn.Module, device: str, shape: tuple[int, int, int], images: NDArray[np.uint8]
) -> Output:
    if images.shape[1:] != shape:
        raise InputError(f"the images are {images.shape[1:]}, the classifier was trained on {shape}")
    return in_batches(penultimate(classifier), images, device)


def _train(path: Path, images: ImageSet, model: str, recipe: str, device: str) -> nn.Module:
    classifier = trained(images, model=model, recipe_name=recipe, device=device, purpose=_PURPOSE, seed=0)
    state = {name: value.contiguous().cpu() for name, value in classifier.state_dict().items()}
    write_atomically(path, save(state))
    return classifier


def _read(path: Path, images: ImageSet, model: str) -> nn.Module:
    channels = images.shape[2]
    network = untrained(model, len(images.class_names), images.shape, _PURPOSE, 0)
    classifier = Normalised(network, torch.zeros(channels), torch.ones(channels))
    try:
        state = load_file(path)
        for name in ("mean", "std"):
            classifier.register_buffer(name, torch.empty_like(state[name]))
        classifier.load_state_dict(state)
    except (SafetensorError, RuntimeError, KeyError, OSError) as error:
        raise InputError(
            f"the cached network of a feature space cannot be used ({error})",
            where=str(path),
            hint="delete the file, and the same network is trained again",
        ) from error
    return classifier
