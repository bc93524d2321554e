"""DDPM: the diffusion model of Ho et al. (2020), the main paper's "Vanilla-DDPM", class-conditional."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from numpy.typing import NDArray
from torch import Tensor

from mousterian.generators._diffusion import Size, fitted, noise, to_uint8
from mousterian.generators._sampler import Context
from mousterian.images import ImageSet


def size_for(side: int) -> Size:
    """Return the UNet and training length for images of this side; from 32 on it is Ho et al.'s own."""
    if side < 16:
        return Size(16, (1, 2), 1, 0, 0.0, 600, 64)
    if side < 32:
        return Size(48, (1, 2, 2), 2, 7, 0.0, 4000, 128)
    return Size(128, (1, 2, 2, 2), 2, 16, 0.1, 800_000, 128)


@dataclass
class _Sampler:
    network: UNet2DModel
    shape: tuple[int, int, int]
    device: str
    schedule: DDPMScheduler
    sampling_steps: int

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        # It clips the predicted image to its range, without which a network trained briefly diverges.
        scheduler = DDIMScheduler.from_config(self.schedule.config, timestep_spacing="trailing")
        scheduler.set_timesteps(self.sampling_steps, device=self.device)
        images = noise(self.shape, seeds).to(self.device)
        classes = torch.from_numpy(labels).to(self.device)
        with torch.inference_mode():
            for step in scheduler.timesteps:
                output = self.network(images, step, class_labels=classes).sample
                images = scheduler.step(output, step, images).prev_sample
        return to_uint8(images)


def _loss(
    network: UNet2DModel, images: Tensor, labels: Tensor, random: torch.Generator, *, schedule: DDPMScheduler
) -> Tensor:
    """Mean squared error of the predicted noise at a random time (Ho et al. 2020, Eq. 14)."""
    target = torch.randn(images.shape, generator=random).to(images.device)
    times = torch.randint(0, schedule.config.num_train_timesteps, (len(images),), generator=random)
    times = times.to(images.device)
    noisy = schedule.add_noise(images, target, times)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.device.type == "cuda"):
        output = network(noisy, times, class_labels=labels).sample
    loss: Tensor = (output.float() - target).square().mean()
    return loss


def fit(
    real: ImageSet,
    context: Context,
    *,
    channels: int = 0,
    layers: int = 0,
    steps: int = 0,
    batch_size: int = 0,
    learning_rate: float = 1e-3,
    ema: float = 0.999,
    flip: bool = False,
    timesteps: int = 1000,
    sampling_steps: int = 25,
) -> _Sampler:
    """Train class-conditional DDPM (linear betas 1e-4 to 0.02) and sample it with DDIM.

    Args:
        real: all that the generator learns from.
        context: classes, image shape, seed, device and where weights are kept.
        channels: channels of the UNet at full resolution; 0: by image size.
        layers: residual blocks a level; 0: by image size.
        steps: training steps; 0: by image size.
        batch_size: images a step; 0: by image size.
        learning_rate: Adam's peak learning rate.
        ema: decay of the running mean of the weights.
        flip: mirror half of the training images.
        timesteps: noise levels T of the forward process.
        sampling_steps: network evaluations for each image.
    """
    size = size_for(min(context.shape[:2]))
    size = size.changed(channels=channels, layers=layers, steps=steps, batch_size=batch_size)
    schedule = DDPMScheduler(timesteps, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    network = fitted(
        real,
        context,
        size,
        partial(_loss, schedule=schedule),
        learning_rate=learning_rate,
        ema=ema,
        flip=flip,
    )
    return _Sampler(network, context.shape, context.device, schedule, sampling_steps)
