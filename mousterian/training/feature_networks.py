"""Outputs of networks in batches, and small networks trained here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mousterian.data.image_set import ImageSet
from mousterian.data.resizing import cropped, with_channels
from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.seeds import seed_for
from mousterian.training.feature_spaces import Output
from mousterian.training.feed import Stream
from mousterian.training.loop import Diverged, Normalised, Task, prepare, train
from mousterian.training.memory import AdaptiveBatches
from mousterian.training.mixture import Mixture, channels_first
from mousterian.training.recipes import recipe

BATCH = 256
# Of a batch of images (B, C, H, W) uint8: features (B, D), and logits (B, K) where there are any.
Look = Callable[[Tensor], tuple[Tensor, Tensor | None]]


def in_batches(look: Look, images: NDArray[np.uint8], device: str, batch: int = BATCH) -> Output:
    """Return the output for all images (N, H, W, C) uint8, `batch` at a time; fewer where memory runs out.

    Raises:
        InputError: there are no images, or memory does not suffice for one.
    """
    batches = AdaptiveBatches("for the features of one image", hint="take another device", most=batch)
    parts = batches.map(len(images), lambda some: _once(look, images[some], device))
    if not parts:
        raise InputError("there are no images to take features of")
    found = [part.probabilities for part in parts if part.probabilities is not None]
    return Output(np.concatenate([part.features for part in parts]), np.concatenate(found) if found else None)


def _once(look: Look, images: NDArray[np.uint8], device: str) -> Output:
    with torch.inference_mode():
        seen, logits = look(channels_first(torch.from_numpy(np.ascontiguousarray(images)).to(device)))
        probabilities = None if logits is None else logits.float().softmax(1).cpu().numpy()
        return Output(seen.flatten(1).float().cpu().numpy(), probabilities)


def as_network_wants(images: Tensor, side: int, mean: Tensor, std: Tensor) -> Tensor:
    """Return images (B, C, H, W) uint8 as (B, 3, side, side) float32, resized and normalised.

    Args:
        images: grey (C = 1) or coloured (C = 3).
        side: height and width that the network was trained for.
        mean: (3,) of each channel, for values from 0 to 1.
        std: (3,) likewise.
    """
    pixels = cropped(with_channels(images.float().div(255), 3), side, side)
    return (pixels - mean[:, None, None]) / std[:, None, None]


def default_recipe(images: ImageSet) -> str:
    """Return the recipe that suits the size of these images on a CPU."""
    return "small" if min(images.shape[:2]) < 16 else "fashion"


def untrained(model: str, classes: int, shape: tuple[int, int, int], purpose: str, seed: int) -> nn.Module:
    """Return a classifier plug-in's network with its defaults, initialised from a named seed."""
    plugin = registry.find("models", model)
    torch.manual_seed(seed_for(purpose, seed))
    network: nn.Module = plugin.load()(classes, shape, **plugin.resolve({}), **plugin.preset)
    return network


def trained(
    images: ImageSet, *, model: str, recipe_name: str, device: str, purpose: str, seed: int
) -> Normalised:
    """Return a classifier trained on labelled images in the one training loop.

    Args:
        images: all that it learns from.
        model: classifier plug-in.
        recipe_name: row of the recipe table.
        device: torch device name.
        purpose: name of its seeds.
        seed: its seed.

    Raises:
        InputError: an unknown model or recipe, or the training diverged.
    """
    network = untrained(model, len(images.class_names), images.shape, purpose, seed)
    place = torch.device(device)
    mixture = Mixture.of(images, place)
    task = Task(mixture, len(images), recipe(recipe_name), place, seed_for(purpose, "order", seed))
    classifier = prepare(network, task)
    try:
        train(classifier, [Stream(mixture, task.recipe.batch_size)], task)
    except Diverged as error:
        raise InputError(
            f"training {model} by the recipe {recipe_name} diverged: {error}",
            where=purpose,
            hint="name another recipe or model",
        ) from None
    return classifier.eval()


def penultimate(classifier: nn.Module) -> Look:
    """Return what gives a classifier's logits, and as features what its last linear layer is given."""
    layers = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise InputError("a network without a linear layer has no features to take", hint="choose another")

    def look(images: Tensor) -> tuple[Tensor, Tensor]:
        given: list[Tensor] = []
        hook = layers[-1].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        try:
            logits: Tensor = classifier(images)
        finally:
            hook.remove()
        return given[-1], logits

    return look
