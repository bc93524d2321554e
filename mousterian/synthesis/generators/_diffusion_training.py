"""How the diffusion generators are trained: with a running mean of the weights, kept so as to go on from."""

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
WARM_UP = 0.05  # share of the steps over which the learning rate rises


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Attributes:
        steps: training steps.
        batch_size: images a step.
        learning_rate: Adam's, after a linear warm-up.
        ema: decay of the running mean at the end; it starts lower, so that few steps are not lost in it.
        flip: mirror half of the images.
    """

    steps: int
    batch_size: int
    learning_rate: float
    ema: float
    flip: bool


# Of the network, images (B, C, H, W) float32 in [-1, 1], labels (B,) and a CPU generator: a scalar.
Loss = Callable[[Any, Tensor, Tensor, torch.Generator], Tensor]


@dataclass
class _Record:
    """Mean losses every so many steps, and what has been summed up since the last of them."""

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
        """Begin a new row and return the mean of the last."""
        value = self.mean(step)
        self.rows.append([step, value])
        self.total.zero_()
        self.since = 0
        return value


class Training:
    """A network's training on real images, which can be cut off after any step and gone on with.

    Args:
        network: trained in place, on the context's device.
        real: what it learns; nothing else is seen.
        loss: what it minimises.
        context: seed, device, folder of the checkpoint and whom to tell of progress.
        course: how it is trained.
        preview: draws what the running mean makes so far.
    """

    def __init__(
        self,
        network: nn.Module,
        real: ImageSet,
        loss: Loss,
        context: GeneratorContext,
        course: TrainingSettings,
        *,
        preview: Preview,
    ) -> None:
        self.network, self.loss, self.context, self.course = network, loss, context, course
        self._preview = preview
        self.step = 0
        self._parts = 1
        self._noise = torch.Generator().manual_seed(seed_for("generator-noise", context.seed))
        self._order = np.random.default_rng(seed_for("generator-order", context.seed))
        self._pixels = torch.from_numpy(real.images.transpose(0, 3, 1, 2).copy()).to(context.device)
        self._labels = torch.from_numpy(real.labels).to(context.device)
        self._optimizer = torch.optim.Adam(network.parameters(), lr=course.learning_rate)
        self._mean = [parameter.detach().clone() for parameter in network.parameters()]
        every = max(1, min(100, course.steps // 200))
        self._record = _Record(every, torch.zeros((), dtype=torch.float64, device=context.device))
        identity = digest([asdict(course), context.seed, context.shape, len(real)])
        self._checkpoint = Checkpoint(context.folder / CHECKPOINT, identity)

    def run(self) -> nn.Module:
        """Train to the end and return the network with the running mean of its weights."""
        self.network.train()
        self._checkpoint.begin_stage()
        if held := self._checkpoint.state():
            self._restore(held)
        while self.step < self.course.steps:
            self._advance()
            if self._checkpoint.due():
                self._record.mean(self.step)  # a network that has diverged is not kept
                self._checkpoint.write(self._state())
                self._write_losses()
                if self._preview.due():
                    with self._running_mean():
                        self._preview.draw(self.network)
        if self._record.since:
            self._record.close(self.step)
        self._write_losses()
        self._set_weights(self._mean)
        return self.network

    @torch.no_grad()
    def _set_weights(self, values: Sequence[Tensor]) -> None:
        for parameter, value in zip(self.network.parameters(), values, strict=True):
            parameter.copy_(value)

    @contextmanager
    def _running_mean(self) -> Iterator[None]:
        """While the block runs, the network has the running mean of its weights."""
        own = [parameter.detach().clone() for parameter in self.network.parameters()]
        self._set_weights(self._mean)
        try:
            yield
        finally:
            self._set_weights(own)

    def forget(self) -> None:
        """Delete the checkpoint: the trained weights are kept."""
        self._checkpoint.remove()

    def _advance(self) -> None:
        rate = self.course.learning_rate * min(1.0, (self.step + 1) / (WARM_UP * self.course.steps))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        images, labels = self._batch()
        self._record.add(self._gradient(images, labels))
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        decay = min(self.course.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self._mean, [p.detach() for p in self.network.parameters()], 1 - decay)
        self.step += 1
        if self._record.since >= self._record.every:
            value = self._record.close(self.step)
            self.context.progress("training", self.step, self.course.steps, f"loss {value:.4f}")

    def _batch(self) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(self._order.integers(0, len(self._labels), self.course.batch_size))
        chosen = chosen.to(self.context.device)
        images = self._pixels[chosen].float().div_(127.5).sub_(1)
        if self.course.flip:
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
            some, their = images[start : start + size], labels[start : start + size]
            value = self.loss(self.network, some, their, self._noise) * (len(some) / len(images))
            value.backward()  # type: ignore[no-untyped-call]
            total += value.detach()
        return total

    def _state(self) -> dict[str, Any]:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {
            "step": self.step,
            "parts": self._parts,
            "network": self.network.state_dict(),
            "mean": self._mean,
            "optimizer": self._optimizer.state_dict(),
            "noise": self._noise.get_state(),
            "order": json.dumps(self._order.bit_generator.state),
            "dropout": [torch.get_rng_state(), *cuda],
            "losses": self._record.rows,
            "loss": [self._record.total.clone(), self._record.since],
        }

    def _restore(self, held: dict[str, Any]) -> None:
        self.step, self._parts = held["step"], held["parts"]
        self.network.load_state_dict(held["network"])
        for mean, value in zip(self._mean, held["mean"], strict=True):
            mean.copy_(value)
        self._optimizer.load_state_dict(held["optimizer"])
        self._noise.set_state(held["noise"])
        self._order.bit_generator.state = json.loads(held["order"])
        torch.set_rng_state(held["dropout"][0])
        if torch.cuda.is_available() and len(held["dropout"]) > 1:
            torch.cuda.set_rng_state_all(held["dropout"][1:])
        self._record.rows = held["losses"]
        total, self._record.since = held["loss"]
        self._record.total.copy_(total)

    def _write_losses(self) -> None:
        """Keep the losses as a table for people: step, mean loss since the row before."""
        text = io.StringIO()
        text.write("step,loss\n")
        text.writelines(f"{step:.0f},{loss:.6g}\n" for step, loss in self._record.rows)
        write_atomically(self.context.folder / LOSSES, text.getvalue().encode())
