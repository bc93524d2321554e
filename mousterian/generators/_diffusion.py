"""What the diffusion generators share: network sizes, kept weights, precision, noise."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mousterian.errors import InputError
from mousterian.generators._sampler import Context
from mousterian.generators._training import Course, Loss, Training
from mousterian.images import ImageSet
from mousterian.seeds import seed_for
from mousterian.store import write_atomically

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Size:
    """A UNet and how it is trained.

    Attributes:
        channels: channels at full resolution.
        multipliers: channels of each level over `channels`.
        layers: residual blocks a level.
        attention: side length at which self-attention is used.
        dropout: dropout in the residual blocks.
        steps: training steps.
        batch_size: images a step.
        learning_rate: Adam's peak learning rate.
        ema: decay of the running mean of the weights.
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

    def changed(self, **given: float) -> Size:
        """Return this size with every given value that is not 0 in place of its own."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return Size(**(own | {name: value for name, value in given.items() if value}))

    def network(self, shape: tuple[int, int, int], classes: int) -> UNet2DModel:
        """Build a class-conditional UNet for images of (height, width, channels)."""
        side = min(shape[:2])
        levels = [m for level, m in enumerate(self.multipliers) if not side % 2**level]
        attends = [side // 2**level <= self.attention for level in range(len(levels))]
        return UNet2DModel(
            sample_size=shape[:2],
            in_channels=shape[2],
            out_channels=shape[2],
            layers_per_block=self.layers,
            block_out_channels=tuple(self.channels * m for m in levels),
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
            norm_num_groups=math.gcd(32, self.channels),
            attention_head_dim=min(64, self.channels),
            dropout=self.dropout,
            num_class_embeds=classes,
        )


def autocast(device: str, precision: str) -> AbstractContextManager[None]:
    """Return the context in which a network runs in this precision; "auto": bfloat16 on accelerators."""
    kind = torch.device(device).type
    low = precision == "bfloat16" or (precision == "auto" and kind != "cpu")
    return torch.autocast(kind, torch.bfloat16, enabled=low)


def fitted(
    real: ImageSet,
    context: Context,
    size: Size,
    loss: Loss,
    *,
    flip: bool,
    precision: str,
    compiled: bool,
) -> UNet2DModel:
    """Return a UNet trained on real images, or the one that was kept when the pool was made before.

    A training that was cut off goes on where it last kept what it had reached.

    Args:
        real: all that it learns from.
        context: classes, image shape, seed, device and where weights are kept.
        size: of the network and its training.
        loss: what it minimises.
        flip: mirror half of the images.
        precision: float32, bfloat16 or auto, as for `autocast`.
        compiled: compile the network where there is an accelerator.
    """
    torch.manual_seed(seed_for("generator-initialisation", context.seed))
    network = size.network(context.shape, len(context.class_names)).to(context.device)
    path = context.folder / WEIGHTS
    if path.exists():
        _read(network, path)
    elif len(real) == 0:
        raise InputError("there are no real images to train the generator on")
    if compiled and torch.device(context.device).type != "cpu":
        network.compile()
    if path.exists():
        return network.eval()

    def in_precision(model: nn.Module, images: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
        with autocast(context.device, precision):
            return loss(model, images, labels, random)

    course = Course(size.steps, size.batch_size, size.learning_rate, size.ema, flip)
    training = Training(network, real, in_precision, context, course)
    trained = training.run()
    write_atomically(path, save({name: value.cpu() for name, value in trained.state_dict().items()}))
    training.forget()
    return trained.eval()


def _read(network: nn.Module, path: Path) -> None:
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"kept generator weights cannot be used ({error})",
            where=str(path),
            hint="delete the pool's folder and run the grid again to train it anew",
        ) from error


def noise(shape: tuple[int, int, int], seeds: NDArray[np.int64]) -> Tensor:
    """Return standard normal noise (N, C, H, W) float32, each image from its own seed."""
    height, width, channels = shape
    return torch.stack(
        [torch.randn(channels, height, width, generator=torch.Generator().manual_seed(int(s))) for s in seeds]
    )


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Return images (N, C, H, W) in [-1, 1] as (N, H, W, C) uint8."""
    pixels = images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    result: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).cpu().numpy()
    return result
