"""EDM: the diffusion model of Karras et al. (2022), class-conditional, trained on real images here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from diffusers import EDMDPMSolverMultistepScheduler
from numpy.typing import NDArray
from torch import Tensor

from mousterian.data.image_set import ImageSet
from mousterian.synthesis.generators._diffusion import Size, UNet, autocast, fitted, noise, size_of, to_uint8
from mousterian.synthesis.generators._edm_augmentation import CONDITIONS, augmented
from mousterian.synthesis.kinds import GeneratorContext

SIGMA_DATA, LOG_SIGMA_MEAN, LOG_SIGMA_STD = 0.5, -1.2, 1.2  # Karras et al. 2022, Table 1
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7  # Karras et al. 2022, Table 1

# `cifar10` is Karras et al.'s setting (their Table 7: 200 million images, an EMA half-life of 0.5 million).
# The presets for half and a tenth of CIFAR-10 have as many epochs, the latter more dropout; both are ours, as
# the main paper does not give them.
#                 channels multipliers layers attention dropout  steps  batch  rate   ema
SIZES: Mapping[str, Size] = {
    "8": Size(          16, (1, 2),       1,  0,        0.0,     400,     64, 1e-3, 0.999),
    "16": Size(         48, (1, 2, 2),    2,  7,        0.0,     4_000,  128, 1e-3, 0.999),
    "cifar10": Size(   128, (2, 2, 2),    4, 16,        0.13,  400_000,  512, 1e-3, 0.9993),
    "cifar_half": Size(128, (2, 2, 2),    4, 16,        0.13,  200_000,  512, 1e-3, 0.9993),
    "cifar_small": Size(128, (2, 2, 2),   4, 16,        0.2,    40_000,  512, 1e-3, 0.9993),
}  # fmt: skip
size_for = partial(size_of, SIZES)

Conditioning = dict[str, Tensor]  # the network's inputs class_labels (B,) and conditions (B, n)


def _preconditioned(network: UNet, noisy: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
    """Return the network's output F at noise level sigma (B, 1, 1, 1) (Karras et al. 2022, Eq. 7)."""
    scaled = noisy * (sigma.square() + SIGMA_DATA**2).rsqrt()
    output: Tensor = network(scaled, 0.25 * sigma.log().flatten(), **conditioning).sample
    return output.float()


def _augmented_loss(
    network: UNet, images: Tensor, labels: Tensor, random: torch.Generator, *, probability: float
) -> Tensor:
    images, conditions = augmented(images, probability, random)
    return _loss(network, images, labels, random, conditions)


def _loss(
    network: UNet,
    images: Tensor,
    labels: Tensor,
    random: torch.Generator,
    conditions: Tensor | None = None,
) -> Tensor:
    """Weighted denoising error with EDM's preconditioning (Karras et al. 2022, Eq. 7 and 8)."""
    conditioning: Conditioning = {"class_labels": labels}
    if conditions is not None:
        conditioning["conditions"] = conditions
    log_sigma = LOG_SIGMA_MEAN + LOG_SIGMA_STD * torch.randn(len(images), generator=random)
    sigma = log_sigma.exp().to(images.device)[:, None, None, None]
    total = sigma.square() + SIGMA_DATA**2
    noisy = images + sigma * torch.randn(images.shape, generator=random).to(images.device)
    output = _preconditioned(network, noisy, sigma, conditioning)
    skip = SIGMA_DATA**2 / total
    target = (images - skip * noisy) / (sigma * SIGMA_DATA * total.rsqrt())
    loss: Tensor = (output - target).square().mean()
    return loss


def denoised(network: UNet, noisy: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
    """Return the denoiser's D (B, C, H, W) at noise level sigma, a scalar (Karras et al. 2022, Eq. 7)."""
    level = sigma.float().expand(len(noisy))[:, None, None, None]
    output = _preconditioned(network, noisy.float(), level, {"class_labels": labels})
    total = level.square() + SIGMA_DATA**2
    return SIGMA_DATA**2 / total * noisy + level * SIGMA_DATA * total.rsqrt() * output


Denoise = Callable[[Tensor, Tensor], Tensor]


def sigmas(steps: int) -> Tensor:
    """Return the noise levels (steps + 1,) float64, the last of which is 0 (Karras et al. 2022, Eq. 5)."""
    fraction = torch.arange(steps, dtype=torch.float64) / max(1, steps - 1)
    low, high = SIGMA_MIN ** (1 / RHO), SIGMA_MAX ** (1 / RHO)
    return torch.cat([(high + fraction * (low - high)) ** RHO, torch.zeros(1, dtype=torch.float64)])


def heun(denoise: Denoise, start: Tensor, steps: int) -> Tensor:
    """Return samples of the deterministic second-order sampler (Karras et al. 2022, Algorithm 1).

    Args:
        denoise: takes noisy images (B, C, H, W) and a noise level.
        start: standard normal noise (B, C, H, W).
        steps: of the sampler, with 2 * steps - 1 denoiser evaluations.
    """
    levels = sigmas(steps).to(start.device, torch.float32)
    images = start * levels[0]
    for level, following in pairwise(levels):
        slope = (images - denoise(images, level)) / level
        euler = images + (following - level) * slope
        if following > 0:
            corrected = (euler - denoise(euler, following)) / following
            euler = images + (following - level) * (slope + corrected) / 2
        images = euler
    return images


@dataclass
class _Sampler:
    network: UNet
    shape: tuple[int, int, int]
    device: str
    sampler: str
    sampling_steps: int
    precision: str

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        start = noise(self.shape, seeds).to(self.device)
        classes = torch.from_numpy(labels).to(self.device)
        with torch.inference_mode(), autocast(self.device, self.precision):
            return to_uint8(_SAMPLERS[self.sampler](self, start, classes))

    def heun(self, start: Tensor, classes: Tensor) -> Tensor:
        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            return denoised(self.network, noisy, sigma, classes)

        return heun(denoise, start, self.sampling_steps)

    def dpm_solver(self, start: Tensor, classes: Tensor) -> Tensor:
        scheduler = EDMDPMSolverMultistepScheduler(sigma_data=SIGMA_DATA)
        scheduler.set_timesteps(self.sampling_steps, device=self.device)
        images = start * scheduler.init_noise_sigma
        for step in scheduler.timesteps:
            scaled = scheduler.scale_model_input(images, step)
            output = self.network(scaled, step, class_labels=classes).sample
            images = scheduler.step(output, step, images).prev_sample
        result: Tensor = images
        return result


_SAMPLERS = {"dpm_solver": _Sampler.dpm_solver, "heun": _Sampler.heun}


def fit(
    real: ImageSet,
    context: GeneratorContext,
    *,
    preset: Literal["", "cifar10", "cifar_half", "cifar_small"] = "",
    channels: int = 0,
    layers: int = 0,
    steps: int = 0,
    batch_size: int = 0,
    learning_rate: float = 0.0,
    ema: float = 0.0,
    flip: bool = False,
    augment: float = 0.0,
    patch: int = 0,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    compiled: bool = False,
    sampler: Literal["dpm_solver", "heun"] = "dpm_solver",
    sampling_steps: int = 12,
) -> _Sampler:
    """Train class-conditional EDM and sample with a few steps of DPM-Solver++ or Heun.

    Karras et al.'s setting at 32×32: sampler = "heun", sampling_steps = 18, augment = 0.12.

    Args:
        real: the training set.
        context: classes, image shape, seed, device and the folder of the weights.
        preset: network and training for CIFAR-10, half of it (25,000 images) or a tenth; "": by image size.
        channels: channels of the UNet at full resolution; 0: the preset's.
        layers: residual blocks per level; 0: the preset's.
        steps: training steps; 0: the preset's.
        batch_size: images per step; 0: the preset's.
        learning_rate: Adam's peak learning rate; 0: the preset's.
        ema: decay of the exponential moving average of the weights; 0: the preset's.
        flip: flip half of the training images horizontally.
        augment: probability of each non-leaking augmentation (horizontal and vertical flips, scaling,
            rotation, stretching, translation), on which the network is conditioned; 0: none.
        patch: side of the patches that the network sees as one pixel; 2 costs a quarter; 0: the preset's.
        precision: of the network; auto: bfloat16 on accelerators, float32 on a CPU.
        compiled: compile the network on accelerators, which pays off for long trainings.
        sampler: dpm_solver evaluates the network once per step, heun twice (once in the last).
        sampling_steps: steps of the sampler.
    """
    size = size_for(min(context.shape[:2]), preset).changed(
        channels=channels,
        layers=layers,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        ema=ema,
        patch=patch,
    )
    loss = partial(_augmented_loss, probability=augment) if augment else _loss
    conditions = CONDITIONS if augment else 0
    sampling = (context.shape, context.device, sampler, sampling_steps, precision)
    return fitted(
        real,
        context,
        size,
        loss,
        flip=flip,
        precision=precision,
        compiled=compiled,
        sampler_of=lambda trained: _Sampler(trained, *sampling),
        conditions=conditions,
    )
