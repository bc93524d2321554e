"""DDPM: the diffusion model of Ho et al. (2020), the main paper's "Vanilla-DDPM", class-conditional."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from numpy.typing import NDArray
from torch import Tensor

from mousterian.data.image_set import ImageSet
from mousterian.seeds import seed_for
from mousterian.synthesis.generators._diffusion import Size, UNet, autocast, fitted, noise, size_of, to_uint8
from mousterian.synthesis.kinds import GeneratorContext

# `cifar10` is Ho et al.'s setting (their Appendix B). The presets for half and a tenth of CIFAR-10 have as
# many epochs, the latter more dropout; both are ours, as the main paper does not give them.
#                 channels multipliers layers attention dropout  steps  batch  rate   ema
SIZES: Mapping[str, Size] = {
    "8": Size(          16, (1, 2),       1,  0,        0.0,     600,     64, 1e-3, 0.999),
    "16": Size(         48, (1, 2, 2),    2,  7,        0.0,     4_000,  128, 1e-3, 0.999),
    "cifar10": Size(   128, (1, 2, 2, 2), 2, 16,        0.1,   800_000,  128, 2e-4, 0.9999),
    "cifar_half": Size(128, (1, 2, 2, 2), 2, 16,        0.1,   400_000,  128, 2e-4, 0.9999),
    "cifar_small": Size(128, (1, 2, 2, 2), 2, 16,       0.2,    80_000,  128, 2e-4, 0.9999),
}  # fmt: skip
size_for = partial(size_of, SIZES)


class _SamplingMethod(NamedTuple):
    """A scheduler of diffusers, its options, and whether it adds noise at every step."""

    scheduler: Any
    options: Mapping[str, Any]
    stochastic: bool = False


# Clips the predicted image to its range, as ddim and ancestral do by default: without it, the samples of a
# briefly trained network diverge.
_CLIPPED = {"thresholding": True, "dynamic_thresholding_ratio": 1.0, "sample_max_value": 1.0}
_METHODS = {
    "ddim": _SamplingMethod(DDIMScheduler, {}),
    "ancestral": _SamplingMethod(DDPMScheduler, {}, stochastic=True),
    "dpm_solver": _SamplingMethod(DPMSolverMultistepScheduler, _CLIPPED),
    "unipc": _SamplingMethod(UniPCMultistepScheduler, _CLIPPED),
}


@dataclass
class _Sampler:
    network: UNet
    shape: tuple[int, int, int]
    device: str
    schedule: DDPMScheduler
    sampler: str
    sampling_steps: int
    precision: str

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        method = _METHODS[self.sampler]
        scheduler = method.scheduler.from_config(
            self.schedule.config, timestep_spacing="trailing", **method.options
        )
        scheduler.set_timesteps(self.sampling_steps, device=self.device)
        images = noise(self.shape, seeds).to(self.device)
        classes = torch.from_numpy(labels).to(self.device)
        random = {"generator": _generators(seeds)} if method.stochastic else {}
        with torch.inference_mode(), autocast(self.device, self.precision):
            for step in scheduler.timesteps:
                output = self.network(images, step, class_labels=classes).sample
                images = scheduler.step(output.float(), step, images, **random).prev_sample
        return to_uint8(images)


def _generators(seeds: NDArray[np.int64]) -> list[torch.Generator]:
    """Return the generator of each image's sampling noise."""
    return [torch.Generator().manual_seed(seed_for("sampling-noise", int(seed))) for seed in seeds]


def _loss(
    network: UNet, images: Tensor, labels: Tensor, random: torch.Generator, *, schedule: DDPMScheduler
) -> Tensor:
    """Mean squared error of the predicted noise at a random time step (Ho et al. 2020, Eq. 14)."""
    target = torch.randn(images.shape, generator=random).to(images.device)
    times = torch.randint(0, schedule.config.num_train_timesteps, (len(images),), generator=random)
    times = times.to(images.device)
    noisy = schedule.add_noise(images, target, times)
    output = network(noisy, times, class_labels=labels).sample
    loss: Tensor = (output.float() - target).square().mean()
    return loss


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
    patch: int = 0,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    compiled: bool = False,
    timesteps: int = 1000,
    sampler: Literal["ddim", "ancestral", "dpm_solver", "unipc"] = "ddim",
    sampling_steps: int = 25,
) -> _Sampler:
    """Train class-conditional DDPM (linear betas 1e-4 to 0.02) and sample with DDIM or another sampler.

    Ho et al.'s setting at 32×32: sampler = "ancestral", sampling_steps = 1000, flip = true.

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
        patch: side of the patches that the network sees as one pixel; 2 costs a quarter; 0: the preset's.
        precision: of the network; auto: bfloat16 on accelerators, float32 on a CPU.
        compiled: compile the network on accelerators, which pays off for long trainings.
        timesteps: noise levels T of the forward process.
        sampler: ddim, dpm_solver and unipc need few steps; ancestral, the paper's, needs many.
        sampling_steps: network evaluations for each image.
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
    schedule = DDPMScheduler(timesteps, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    loss = partial(_loss, schedule=schedule)
    sampling = (context.shape, context.device, schedule, sampler, sampling_steps, precision)
    return fitted(
        real,
        context,
        size,
        loss,
        flip=flip,
        precision=precision,
        compiled=compiled,
        sampler_of=lambda trained: _Sampler(trained, *sampling),
    )
