"""Training of the diffusion generators: Adam, an exponential moving average of the weights, checkpoints."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.seeds import digest, seed_for
from mousterian.synthesis.generators._training_preview import Preview
from mousterian.synthesis.kinds import GeneratorContext
from mousterian.training.checkpoint import Checkpoint
from mousterian.training.memory import with_less_memory

CHECKPOINT, LOSSES = "training.checkpoint", "training.csv"
WARM_UP = 0.05  # fraction of the steps with a rising learning rate


@dataclass(frozen=True)
class TrainingSettings:
    """Hyperparameters of a training.

    Attributes:
        steps: training steps.
        batch_size: images per step.
        learning_rate: Adam's, after a linear warm-up.
        ema: final decay of the weights' moving average; it starts lower, for short trainings.
        flip: flip half of the images horizontally.
    """

    steps: int
    batch_size: int
    learning_rate: float
    ema: float
    flip: bool


# Takes network, images (B, C, H, W) float32 in [-1, 1], labels (B,) and a CPU generator; returns a scalar.
Loss = Callable[[Any, Tensor, Tensor, torch.Generator], Tensor]


@dataclass
class _LossLog:
    """Losses averaged over every so many steps, and the sum since the last row."""

    every: int
    total: Tensor
    since: int = 0
    rows: list[list[float]] = field(default_factory=list)

    def add(self, value: Tensor) -> None:
        self.total += value
        self.since += 1

    def mean(self, step: int) -> float:
        """Return the mean since the last row.

        Raises:
            InputError: it is not finite.
        """
        value = self.total.item() / max(1, self.since)
        if not np.isfinite(value):
            raise InputError(
                f"generator training diverged: the loss is {value} at step {step}",
                hint="use a lower learning_rate, or precision = 'float32'",
            )
        return value

    def close(self, step: int) -> float:
        """End the current row and return its mean."""
        value = self.mean(step)
        self.rows.append([step, value])
        self.total.zero_()
        self.since = 0
        return value


class Training:
    """Training of a network on real images, which can be interrupted after any step and resumed.

    Args:
        network: trained in place, on the context's device.
        real: the training set.
        loss: training objective.
        context: seed, device, folder of the checkpoint and progress.
        settings: hyperparameters.
        preview: draws samples of the averaged network during training.
    """

    def __init__(
        self,
        network: nn.Module,
        real: ImageSet,
        loss: Loss,
        context: GeneratorContext,
        settings: TrainingSettings,
        *,
        preview: Preview,
    ) -> None:
        self.network, self.loss, self.context, self.settings = network, loss, context, settings
        self._preview = preview
        self.step = 0
        self._parts = 1
        self._noise = torch.Generator().manual_seed(seed_for("generator-noise", context.seed))
        self._order = np.random.default_rng(seed_for("generator-order", context.seed))
        self._pixels = torch.from_numpy(real.images.transpose(0, 3, 1, 2).copy()).to(context.device)
        self._labels = torch.from_numpy(real.labels).to(context.device)
        self._optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
        self._average = [parameter.detach().clone() for parameter in network.parameters()]
        every = max(1, min(100, settings.steps // 200))
        self._losses = _LossLog(every, torch.zeros((), dtype=torch.float64, device=context.device))
        identity = digest([asdict(settings), context.seed, context.shape, len(real)])
        self._checkpoint = Checkpoint(context.folder / CHECKPOINT, identity)

    def run(self) -> nn.Module:
        """Train to the end and return the network with its averaged weights."""
        self.network.train()
        self._checkpoint.begin_stage()
        if saved := self._checkpoint.state():
            self._restore(saved)
        while self.step < self.settings.steps:
            self._advance()
            if self._checkpoint.due():
                self._losses.mean(self.step)  # raises, so that a diverged network is not saved
                self._checkpoint.write(self._state())
                self._write_losses()
                if self._preview.due():
                    with self._averaged_weights():
                        self._preview.draw(self.network)
        if self._losses.since:
            self._losses.close(self.step)
        self._write_losses()
        self._set_weights(self._average)
        return self.network

    @torch.no_grad()
    def _set_weights(self, values: Sequence[Tensor]) -> None:
        for parameter, value in zip(self.network.parameters(), values, strict=True):
            parameter.copy_(value)

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Give the network its averaged weights while the block runs."""
        own = [parameter.detach().clone() for parameter in self.network.parameters()]
        self._set_weights(self._average)
        try:
            yield
        finally:
            self._set_weights(own)

    def remove_checkpoint(self) -> None:
        """Delete the checkpoint, once the trained weights are saved."""
        self._checkpoint.remove()

    def _advance(self) -> None:
        rate = self.settings.learning_rate * min(1.0, (self.step + 1) / (WARM_UP * self.settings.steps))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        images, labels = self._batch()
        self._losses.add(self._gradient(images, labels))
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self._average, [p.detach() for p in self.network.parameters()], 1 - decay)
        self.step += 1
        if self._losses.since >= self._losses.every:
            value = self._losses.close(self.step)
            self.context.progress("training", self.step, self.settings.steps, f"loss {value:.4f}")

    def _batch(self) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(self._order.integers(0, len(self._labels), self.settings.batch_size))
        chosen = chosen.to(self.context.device)
        images = self._pixels[chosen].float().div_(127.5).sub_(1)
        if self.settings.flip:
            mirrored = (torch.rand(len(chosen), generator=self._noise) < 0.5).to(images.device)
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        return images, self._labels[chosen]

    def _gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        """Set the gradients of one batch and return its loss; in parts where memory runs out."""
        loss, self._parts = with_less_memory(
            lambda parts: self._in_parts(images, labels, parts),
            len(images),
            "to train the generator on one image at a time",
            hint="use fewer channels or layers",
            parts=self._parts,
        )
        return loss

    def _in_parts(self, images: Tensor, labels: Tensor, parts: int) -> Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), dtype=torch.float64, device=images.device)
        size = -(-len(images) // parts)
        for start in range(0, len(images), size):
            rows = slice(start, start + size)
            share = len(labels[rows]) / len(images)
            value = self.loss(self.network, images[rows], labels[rows], self._noise) * share
            value.backward()  # type: ignore[no-untyped-call]
            total += value.detach()
        return total

    def _state(self) -> dict[str, Any]:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {
            "step": self.step,
            "parts": self._parts,
            "network": self.network.state_dict(),
            "mean": self._average,
            "optimizer": self._optimizer.state_dict(),
            "noise": self._noise.get_state(),
            "order": json.dumps(self._order.bit_generator.state),
            "dropout": [torch.get_rng_state(), *cuda],
            "losses": self._losses.rows,
            "loss": [self._losses.total.clone(), self._losses.since],
        }

    def _restore(self, saved: dict[str, Any]) -> None:
        self.step, self._parts = saved["step"], saved["parts"]
        self.network.load_state_dict(saved["network"])
        for average, value in zip(self._average, saved["mean"], strict=True):
            average.copy_(value)
        self._optimizer.load_state_dict(saved["optimizer"])
        self._noise.set_state(saved["noise"])
        self._order.bit_generator.state = json.loads(saved["order"])
        torch.set_rng_state(saved["dropout"][0])
        if torch.cuda.is_available() and len(saved["dropout"]) > 1:
            torch.cuda.set_rng_state_all(saved["dropout"][1:])
        self._losses.rows = saved["losses"]
        total, self._losses.since = saved["loss"]
        self._losses.total.copy_(total)

    def _write_losses(self) -> None:
        """Write the losses as CSV: step, mean loss since the previous row."""
        text = io.StringIO()
        text.write("step,loss\n")
        text.writelines(f"{step:.0f},{loss:.6g}\n" for step, loss in self._losses.rows)
        write_atomically(self.context.folder / LOSSES, text.getvalue().encode())
