"""EDM: the diffusion model of Karras et al. (2022), class-conditional, trained on real images here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import EDMDPMSolverMultistepScheduler, UNet2DModel
from numpy.typing import NDArray
from torch import Tensor

from mousterian.generators._diffusion import Size, fitted, noise, to_uint8
from mousterian.generators._sampler import Context
from mousterian.images import ImageSet

SIGMA_DATA, LOG_SIGMA_MEAN, LOG_SIGMA_STD = 0.5, -1.2, 1.2  # Karras et al. 2022, Table 1


def size_for(side: int) -> Size:
    """Return the UNet and training length for images of this side; from 32 on it is Karras et al.'s own."""
    if side < 16:
        return Size(16, (1, 2), 1, 0, 0.0, 400, 64)
    if side < 32:
        return Size(48, (1, 2, 2), 2, 7, 0.0, 4000, 128)
    return Size(128, (2, 2, 2), 4, 16, 0.13, 400_000, 512)


@dataclass
class _Sampler:
    network: UNet2DModel
    shape: tuple[int, int, int]
    device: str
    sampling_steps: int

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        scheduler = EDMDPMSolverMultistepScheduler(sigma_data=SIGMA_DATA)
        scheduler.set_timesteps(self.sampling_steps, device=self.device)
        images = noise(self.shape, seeds).to(self.device) * scheduler.init_noise_sigma
        classes = torch.from_numpy(labels).to(self.device)
        with torch.inference_mode():
            for step in scheduler.timesteps:
                scaled = scheduler.scale_model_input(images, step)
                output = self.network(scaled, step, class_labels=classes).sample
                images = scheduler.step(output, step, images).prev_sample
        return to_uint8(images)


def _loss(network: UNet2DModel, images: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
    """Weighted denoising error with EDM's preconditioning (Karras et al. 2022, Eq. 7 and 8)."""
    log_sigma = LOG_SIGMA_MEAN + LOG_SIGMA_STD * torch.randn(len(images), generator=random)
    sigma = log_sigma.exp().to(images.device)[:, None, None, None]
    total = sigma.square() + SIGMA_DATA**2
    noisy = images + sigma * torch.randn(images.shape, generator=random).to(images.device)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.device.type == "cuda"):
        output = network(noisy * total.rsqrt(), 0.25 * sigma.log().flatten(), class_labels=labels).sample
    skip = SIGMA_DATA**2 / total
    target = (images - skip * noisy) / (sigma * SIGMA_DATA * total.rsqrt())
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
    sampling_steps: int = 12,
) -> _Sampler:
    """Train class-conditional EDM on real images and sample it with a few steps of DPM-Solver++.

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
        sampling_steps: network evaluations for each image.
    """
    size = size_for(min(context.shape[:2]))
    size = size.changed(channels=channels, layers=layers, steps=steps, batch_size=batch_size)
    network = fitted(real, context, size, _loss, learning_rate=learning_rate, ema=ema, flip=flip)
    return _Sampler(network, context.shape, context.device, sampling_steps)
