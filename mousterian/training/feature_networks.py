"""Features of networks in batches, and small classifiers trained to provide them."""

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
# From a batch of images (B, C, H, W) uint8 to features (B, D), and logits (B, K) if any.
Embed = Callable[[Tensor], tuple[Tensor, Tensor | None]]


def in_batches(embed: Embed, images: NDArray[np.uint8], device: str, batch: int = BATCH) -> Output:
    """Return the output for images (N, H, W, C) uint8, `batch` at a time, or fewer if memory runs out.

    Raises:
        InputError: there are no images, or memory does not suffice for one.
    """
    batches = AdaptiveBatches("for the features of one image", hint="use another device", most=batch)
    parts = batches.map(len(images), lambda some: _outputs(embed, images[some], device))
    if not parts:
        raise InputError("there are no images to compute features of")
    found = [part.probabilities for part in parts if part.probabilities is not None]
    return Output(np.concatenate([part.features for part in parts]), np.concatenate(found) if found else None)


def _outputs(embed: Embed, images: NDArray[np.uint8], device: str) -> Output:
    with torch.inference_mode():
        features, logits = embed(channels_first(torch.from_numpy(np.ascontiguousarray(images)).to(device)))
        probabilities = None if logits is None else logits.float().softmax(1).cpu().numpy()
        return Output(features.flatten(1).float().cpu().numpy(), probabilities)


def network_inputs(images: Tensor, side: int, mean: Tensor, std: Tensor) -> Tensor:
    """Return images (B, C, H, W) uint8 as (B, 3, side, side) float32, resized and normalised.

    Args:
        images: grey (C = 1) or colour (C = 3).
        side: height and width of the network's input.
        mean: (3,), of each channel, for values from 0 to 1.
        std: (3,), likewise.
    """
    pixels = cropped(with_channels(images.float().div(255), 3), side, side)
    return (pixels - mean[:, None, None]) / std[:, None, None]


def default_recipe(images: ImageSet) -> str:
    """Return a recipe for the size of these images on a CPU."""
    return "small" if min(images.shape[:2]) < 16 else "fashion"


def untrained(model: str, classes: int, shape: tuple[int, int, int], purpose: str, seed: int) -> nn.Module:
    """Return the network of a classifier plug-in with default options, initialised from a named seed."""
    plugin = registry.find("models", model)
    torch.manual_seed(seed_for(purpose, seed))
    network: nn.Module = plugin.load()(classes, shape, **plugin.resolve({}), **plugin.preset)
    return network


def trained(
    images: ImageSet, *, model: str, recipe_name: str, device: str, purpose: str, seed: int
) -> Normalised:
    """Return a classifier trained on labelled images by the training loop.

    Args:
        images: the training set.
        model: classifier plug-in.
        recipe_name: row of the recipe table.
        device: torch device name.
        purpose: name of the seeds.
        seed: the seed.

    Raises:
        InputError: an unknown model or recipe, or the training diverged.
    """
    network = untrained(model, len(images.class_names), images.shape, purpose, seed)
    torch_device = torch.device(device)
    mixture = Mixture.of(images, torch_device)
    task = Task(mixture, len(images), recipe(recipe_name), torch_device, seed_for(purpose, "order", seed))
    classifier = prepare(network, task)
    try:
        train(classifier, [Stream(mixture, task.recipe.batch_size)], task)
    except Diverged as error:
        raise InputError(
            f"training {model} by the recipe {recipe_name} diverged: {error}",
            where=purpose,
            hint="choose another recipe or model",
        ) from None
    return classifier.eval()


def penultimate(classifier: nn.Module) -> Embed:
    """Return a function to the penultimate features (inputs of the last linear layer) and logits."""
    layers = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise InputError(
            "a network without a linear layer has no penultimate features", hint="choose another"
        )

    def embed(images: Tensor) -> tuple[Tensor, Tensor]:
        given: list[Tensor] = []
        hook = layers[-1].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        try:
            logits: Tensor = classifier(images)
        finally:
            hook.remove()
        return given[-1], logits

    return embed
