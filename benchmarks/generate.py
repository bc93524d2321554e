"""Training and sampling of edm and ddpm against a plain diffusers script with the same network, in one run.

    OMP_NUM_THREADS=1 python benchmarks/generate.py                   # CPU, a reduced network
    python benchmarks/generate.py --device cuda --full --batch 128    # an accelerator, the papers' networks

Prints images per second at 32×32×3, medians of --repeats alternating runs, and writes them to --out as JSON.
The plain script follows diffusers' own tutorial: a loop over UNet2DModel, add_noise, AdamW, EMAModel
and DDIM sampling. `edm` has another preconditioning and sampler, but the same network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.nn import functional

from mousterian.data.image_set import ImageSet
from mousterian.synthesis.generators import ddpm, edm
from mousterian.synthesis.generators._diffusion import Size
from mousterian.synthesis.kinds import GeneratorContext

SHAPE, CLASSES = (32, 32, 3), 10
Contender = Callable[[], tuple[float, float]]  # images per second, training and sampling


def images() -> ImageSet:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (1000, *SHAPE), dtype=np.uint8)
    return ImageSet(pixels, np.arange(1000) % CLASSES, tuple(map(str, range(CLASSES))))


def timed(device: str, work: Callable[[], object]) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def ours(module, size: Size, given: argparse.Namespace) -> Contender:
    """Time `fit` with one and with more steps, to subtract its fixed cost; then sampling."""

    def run() -> tuple[float, float]:
        seconds, made = [], None
        for steps in (1, 1 + given.steps):
            with tempfile.TemporaryDirectory() as folder:
                context = GeneratorContext(
                    tuple(map(str, range(CLASSES))), SHAPE, 0, given.device, Path(folder)
                )
                options = {"channels": size.channels, "layers": size.layers, "batch_size": given.batch}
                options |= {"compiled": given.compiled, "sampling_steps": given.sampling_steps}

                def fit(
                    steps: int = steps, options: dict = options, context: GeneratorContext = context
                ) -> None:
                    nonlocal made
                    made = module.fit(images(), context, steps=steps, **options)

                seconds.append(timed(given.device, fit))
        places = np.arange(given.batch)
        sampling = timed(given.device, lambda: made.sample(places % CLASSES, places, places))
        return given.steps * given.batch / (seconds[1] - seconds[0]), given.batch / sampling

    return run


def plain(size: Size, given: argparse.Namespace) -> Contender:
    """Time a training script like diffusers' tutorial, with the network that `size` makes."""

    def run() -> tuple[float, float]:
        torch.manual_seed(0)
        network = size.network(SHAPE, CLASSES).to(given.device).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
        mean = EMAModel(network.parameters(), decay=0.999)
        schedule = DDPMScheduler(1000)
        real = images()
        pixels = torch.from_numpy(real.images).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(pixels, torch.from_numpy(real.labels)), given.batch, shuffle=True
        )

        def step(batch: Tensor, labels: Tensor) -> None:
            batch, labels = batch.to(given.device), labels.to(given.device)
            noise = torch.randn_like(batch)
            times = torch.randint(0, 1000, (len(batch),), device=batch.device)
            with torch.autocast(batch.device.type, torch.bfloat16, enabled=given.device != "cpu"):
                output = network(schedule.add_noise(batch, noise, times), times, class_labels=labels).sample
            functional.mse_loss(output.float(), noise).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            mean.step(network.parameters())

        def train(steps: int) -> None:
            done = 0
            while done < steps:
                for batch, labels in loader:
                    step(batch, labels)
                    done += 1
                    if done == steps:
                        return

        train(1)
        training = timed(given.device, lambda: train(given.steps))
        network.eval()
        return given.steps * given.batch / training, given.batch / timed(
            given.device, lambda: sample(network, given)
        )

    return run


@torch.inference_mode()
def sample(network: UNet2DModel, given: argparse.Namespace) -> Tensor:
    scheduler = DDIMScheduler(1000)
    scheduler.set_timesteps(given.sampling_steps)
    labels = torch.arange(given.batch, device=given.device) % CLASSES
    noisy = torch.randn(given.batch, 3, 32, 32, device=given.device)
    with torch.autocast(torch.device(given.device).type, torch.bfloat16, enabled=given.device != "cpu"):
        for step in scheduler.timesteps:
            output = network(noisy, step, class_labels=labels).sample
            noisy = scheduler.step(output, step, noisy).prev_sample
    return noisy.cpu()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--full", action="store_true", help="the papers' networks, not reduced ones")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--sampling-steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    contenders: dict[str, Contender] = {}
    for module in (edm, ddpm):
        size = module.size_for(32) if given.full else module.size_for(32).changed(channels=32, layers=1)
        name = module.__name__.rpartition(".")[2]
        contenders[name] = ours(module, size, given)
        contenders[f"plain diffusers, {name}'s network"] = plain(size, given)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(given.repeats):
        for name, contender in contenders.items():
            rates[name].append(contender())
    rows = [
        {
            "contender": name,
            "training images/s": statistics.median(rate[0] for rate in found),
            "sampling images/s": statistics.median(rate[1] for rate in found),
            "all": found,
        }
        for name, found in rates.items()
    ]
    for row in rows:
        print(
            f"{row['contender']:34} {row['training images/s']:10.2f} {row['sampling images/s']:10.2f}"
            f"   {[f'{a:.1f} {b:.1f}' for a, b in row['all']]}"
        )
    if given.out:
        given.out.write_text(json.dumps({"setting": {**vars(given), "out": ""}, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
