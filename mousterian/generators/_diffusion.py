"""What the diffusion generators share: network sizes, the training loop with EMA, kept weights, noise."""

from __future__ import annotations

import math
from collections.abc import Callable
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
from mousterian.images import ImageSet
from mousterian.seeds import seed_for
from mousterian.store import write_atomically

Denoise = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Size:
    """A UNet and how long it is trained.

    Attributes:
        channels: channels at full resolution.
        multipliers: channels of each level over `channels`.
        layers: residual blocks a level.
        attention: side length at which self-attention is used.
        dropout: dropout in the residual blocks.
        steps: training steps.
        batch_size: images a step.
    """

    channels: int
    multipliers: tuple[int, ...]
    layers: int
    attention: int
    dropout: float
    steps: int
    batch_size: int

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


Loss = Callable[[UNet2DModel, Tensor, Tensor, torch.Generator], Tensor]


def fitted(
    real: ImageSet,
    context: Context,
    size: Size,
    loss: Loss,
    *,
    learning_rate: float,
    ema: float,
    flip: bool,
) -> UNet2DModel:
    """Return a UNet trained on real images, or the one that was kept when the pool was made before.

    Args:
        real: all that it learns from.
        context: classes, image shape, seed, device and where weights are kept.
        size: of the network and its training.
        loss: of the network, images (B, C, H, W) float32 in [-1, 1], labels (B,) and a CPU generator.
        learning_rate: Adam's peak learning rate.
        ema: decay of the running mean of the weights.
        flip: mirror half of the images.
    """
    torch.manual_seed(seed_for("generator-initialisation", context.seed))
    network = size.network(context.shape, len(context.class_names)).to(context.device)

    def train() -> nn.Module:
        return train_with_ema(
            network, real, loss, context, size=size, learning_rate=learning_rate, ema=ema, flip=flip
        )

    return _keep_or_train(network, context.folder / "weights.safetensors", train)


def _keep_or_train(network: nn.Module, path: Path, train: Callable[[], nn.Module]) -> nn.Module:
    """Load weights kept at `path`, or train and keep them there (whole or not at all)."""
    if path.exists():
        try:
            network.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            raise InputError(
                f"kept generator weights cannot be used ({error})",
                where=str(path),
                hint="delete the pool's folder and run the grid again to train it anew",
            ) from error
        return network.eval()
    trained = train()
    write_atomically(path, save({name: value.cpu() for name, value in trained.state_dict().items()}))
    return trained.eval()


def train_with_ema(
    network: nn.Module,
    real: ImageSet,
    loss: Loss,
    context: Context,
    *,
    size: Size,
    learning_rate: float,
    ema: float,
    flip: bool,
) -> nn.Module:
    """Train a network on real images and return it with the running mean of its weights.

    Args:
        network: trained in place, on its device.
        real: what it learns; nothing else is seen.
        loss: as for `fitted`; a scalar.
        context: seed and device.
        size: number of steps and batch size.
        learning_rate: Adam's, after a linear warm-up over the first 5 % of the steps.
        ema: decay of the running mean at the end; it starts lower, so that few steps are not lost in it.
        flip: mirror half of the images.
    """
    random = torch.Generator().manual_seed(seed_for("generator-noise", context.seed))
    order = np.random.default_rng(seed_for("generator-order", context.seed))
    pixels = torch.from_numpy(real.images.transpose(0, 3, 1, 2).copy()).to(context.device)
    labels = torch.from_numpy(real.labels).to(context.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    mean = [parameter.detach().clone() for parameter in network.parameters()]
    network.train()
    for step in range(size.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / (0.05 * size.steps))
        chosen = torch.from_numpy(order.integers(0, len(labels), size.batch_size)).to(context.device)
        images = pixels[chosen].float().div_(127.5).sub_(1)
        if flip:
            mirrored = (torch.rand(len(chosen), generator=random) < 0.5).to(context.device)
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        value = loss(network, images, labels[chosen], random)
        if not torch.isfinite(value):
            raise InputError(f"generator training diverged at step {step}", hint="use a lower learning_rate")
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        decay = min(ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(mean, [parameter.detach() for parameter in network.parameters()], 1 - decay)
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), mean, strict=True):
            parameter.copy_(value)
    return network


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
