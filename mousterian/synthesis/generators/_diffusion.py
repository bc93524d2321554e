"""Shared by the diffusion generators: network sizes, saved weights, precision, noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from diffusers import UNet2DModel
from diffusers.models.unets.unet_2d import UNet2DOutput
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.seeds import seed_for
from mousterian.synthesis.generators._diffusion_training import Loss, Training, TrainingSettings
from mousterian.synthesis.generators._training_preview import Preview
from mousterian.synthesis.kinds import GeneratorContext, Sampler

WEIGHTS = "weights.safetensors"
SamplerT = TypeVar("SamplerT", bound=Sampler)


@dataclass(frozen=True)
class Size:
    """Architecture and training hyperparameters of a UNet.

    Attributes:
        channels: channels at full resolution.
        multipliers: channels of each level, as multiples of `channels`.
        layers: residual blocks per level.
        attention: largest side at which self-attention is used.
        dropout: dropout in the residual blocks.
        steps: training steps.
        batch_size: images per step.
        learning_rate: Adam's peak learning rate.
        ema: decay of the exponential moving average of the weights.
        patch: side of the patches that the network sees as one pixel with more channels.
    """

    channels: int
    multipliers: tuple[int, ...]
    layers: int
    attention: int
    dropout: float
    steps: int
    batch_size: int
    learning_rate: float
    ema: float
    patch: int = 1

    def changed(self, **given: Any) -> Size:
        """Return this size with the given values, except those that are 0."""
        return replace(self, **{name: value for name, value in given.items() if value})

    def network(self, shape: tuple[int, int, int], classes: int, *, conditions: int = 0) -> UNet:
        """Build a class-conditional UNet for images of (height, width, channels).

        Args:
            shape: of an image.
            classes: number of classes.
            conditions: number of conditioning inputs of each image beside its class.

        Raises:
            InputError: the images cannot be divided into patches.
        """
        if shape[0] % self.patch or shape[1] % self.patch:
            raise InputError(
                f"images of {shape[0]}×{shape[1]} pixels cannot be divided into patches of {self.patch}",
                hint="choose a patch that divides both sides, or 1",
            )
        side = min(shape[:2]) // self.patch
        levels = [m for level, m in enumerate(self.multipliers) if not side % 2**level]
        attends = [side // 2**level <= self.attention for level in range(len(levels))]
        unet = UNet2DModel(
            sample_size=(shape[0] // self.patch, shape[1] // self.patch),
            in_channels=shape[2] * self.patch**2,
            out_channels=shape[2] * self.patch**2,
            layers_per_block=self.layers,
            block_out_channels=tuple(self.channels * m for m in levels),
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
            norm_num_groups=math.gcd(32, self.channels),
            attention_head_dim=min(64, self.channels),
            dropout=self.dropout,
            class_embed_type="identity" if conditions else None,
            num_class_embeds=None if conditions else classes,
        )
        plain = self.patch == 1 and not conditions
        network: UNet = unet if plain else WrappedUNet(unet, self.patch, classes, conditions)
        return network


def size_of(sizes: Mapping[str, Size], side: int, preset: str = "") -> Size:
    """Return the size of a preset, or, without one, for images of this side."""
    by_side = "8" if side < 16 else "16" if side < 32 else "cifar10"
    return sizes[preset or by_side]


class _Conditioning(nn.Module):
    """Embedding of an image's class and of conditioning inputs, which are all 0 by default."""

    def __init__(self, classes: int, conditions: int, width: int) -> None:
        super().__init__()
        self.classes = nn.Embedding(classes, width)
        self.conditions = nn.Linear(conditions, width, bias=False)
        nn.init.normal_(self.conditions.weight)  # on the scale of the class embedding, or it is learnt late
        # A flipped class is not the class plus a flip: hidden layers, as in Karras et al.'s networks.
        self.mixed = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, labels: Tensor, conditions: Tensor | None) -> Tensor:
        embedding: Tensor = self.classes(labels)
        if conditions is not None:
            embedding = embedding + self.conditions(conditions)
        result: Tensor = embedding + self.mixed(embedding)
        return result


class WrappedUNet(nn.Module):
    """A UNet on patches of images, or with conditioning inputs beside the class; same call as a UNet.

    Args:
        unet: on images (B, C * patch², H / patch, W / patch); with conditions, it takes a class embedding.
        patch: side of a patch, pixels.
        classes: number of classes.
        conditions: number of conditioning inputs of each image.
    """

    def __init__(self, unet: UNet2DModel, patch: int, classes: int, conditions: int) -> None:
        super().__init__()
        self.unet, self.patch = unet, patch
        width = 4 * unet.config.block_out_channels[0]  # diffusers' width of the time embedding
        self.conditioning = _Conditioning(classes, conditions, width) if conditions else None
        self.register_load_state_dict_pre_hook(_rename_old_keys)  # type: ignore[no-untyped-call]

    def forward(
        self, images: Tensor, time: Tensor, class_labels: Tensor, conditions: Tensor | None = None
    ) -> UNet2DOutput:
        """Return the UNet's output for images (B, C, H, W) of classes (B,) with `conditions` (B, n)."""
        labels = class_labels if self.conditioning is None else self.conditioning(class_labels, conditions)
        output = self.unet(functional.pixel_unshuffle(images, self.patch), time, class_labels=labels).sample
        return UNet2DOutput(functional.pixel_shuffle(output, self.patch))


def _rename_old_keys(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Rename the conditioning's keys of a state that was saved when its attribute was called `told`."""
    old = f"{prefix}told."
    for name in [each for each in state if each.startswith(old)]:
        state[f"{prefix}conditioning.{name.removeprefix(old)}"] = state.pop(name)


UNet: TypeAlias = nn.Module  # a UNet2DModel or a WrappedUNet, which have the same signature


def autocast(device: str, precision: str) -> AbstractContextManager[None]:
    """Return the autocast context of a precision; "auto": bfloat16 on accelerators."""
    kind = torch.device(device).type
    low = precision == "bfloat16" or (precision == "auto" and kind != "cpu")
    return torch.autocast(kind, torch.bfloat16, enabled=low)


def fitted(
    real: ImageSet,
    context: GeneratorContext,
    size: Size,
    loss: Loss,
    *,
    flip: bool,
    precision: str,
    compiled: bool,
    sampler_of: Callable[[UNet], SamplerT],
    conditions: int = 0,
) -> SamplerT:
    """Return the sampler of a UNet trained on real images, or of the pool's saved weights.

    An interrupted training resumes from its last checkpoint.

    Args:
        real: the training set.
        context: classes, image shape, seed, device and the folder of the weights.
        size: architecture and training hyperparameters.
        loss: training objective.
        flip: flip half of the images horizontally.
        precision: float32, bfloat16 or auto, as for `autocast`.
        compiled: compile the network on accelerators.
        sampler_of: returns the sampler of a network; also used for sample sheets during training.
        conditions: number of conditioning inputs that the loss gives the network beside the class.
    """
    torch.manual_seed(seed_for("generator-initialisation", context.seed))
    network = size.network(context.shape, len(context.class_names), conditions=conditions).to(context.device)
    path = context.folder / WEIGHTS
    if path.exists():
        _read(network, path)
    elif len(real) == 0:
        raise InputError("there are no real images to train the generator on")
    if compiled and torch.device(context.device).type != "cpu":
        network.compile()
    if path.exists():
        return sampler_of(network.eval())

    def in_precision(model: nn.Module, images: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
        with autocast(context.device, precision):
            return loss(model, images, labels, random)

    settings = TrainingSettings(size.steps, size.batch_size, size.learning_rate, size.ema, flip)
    preview = Preview(sampler_of, context)
    training = Training(network, real, in_precision, context, settings, preview=preview)
    trained = training.run()
    write_atomically(path, save({name: value.cpu() for name, value in trained.state_dict().items()}))
    training.remove_checkpoint()
    return sampler_of(trained.eval())


def _read(network: nn.Module, path: Path) -> None:
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"the saved generator weights cannot be used ({error})",
            where=str(path),
            hint="delete the pool's folder and run the grid again to retrain the generator",
        ) from error


def noise(shape: tuple[int, int, int], seeds: NDArray[np.int64]) -> Tensor:
    """Return standard normal noise (N, C, H, W) float32, each image's from its own seed."""
    height, width, channels = shape
    return torch.stack(
        [torch.randn(channels, height, width, generator=torch.Generator().manual_seed(int(s))) for s in seeds]
    )


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Return images (N, C, H, W) in [-1, 1] as (N, H, W, C) uint8."""
    pixels = images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    result: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).cpu().numpy()
    return result
