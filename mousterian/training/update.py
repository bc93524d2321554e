"""One optimiser step on a batch from every stream, executed eagerly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.training.feed import DTYPES, Batch, Stream
from mousterian.training.loss_scale import LossScale
from mousterian.training.muon import Muon
from mousterian.training.recipes import Recipe


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the autocast context of a recipe's precision; on CPU it is disabled."""
    enabled = device.type != "cpu" and precision != "float32"
    dtype = DTYPES[precision] if enabled else torch.bfloat16
    # Each weight is used once per step, and cached casts would break graph capture.
    return torch.autocast(device.type, dtype, enabled=enabled, cache_enabled=False)


def optimiser(
    parameters: Iterable[nn.Parameter], recipe: Recipe, batch: int, *, captured: bool = False
) -> torch.optim.Optimizer:
    """Return the recipe's optimiser; each group stores its peak learning rate as `peak`.

    Args:
        parameters: the trainable ones.
        recipe: the optimiser and its hyperparameters.
        batch: images per step, over all streams.
        captured: keep learning rates and step counts as tensors, for CUDA graph replay.
    """
    trainable = list(parameters)
    fused = trainable[0].is_cuda
    decay, rate = recipe.weight_decay, recipe.learning_rate
    made: torch.optim.Optimizer
    if recipe.optimizer == "muon":
        other_rate = recipe.side_learning_rate * batch
        made = Muon(trainable, lr=rate, other_lr=other_rate, momentum=recipe.momentum, weight_decay=decay)
    elif recipe.optimizer == "lamb":
        from timm.optim import Lamb

        made = Lamb(trainable, rate, weight_decay=decay)
    elif recipe.optimizer == "adamw":
        made = torch.optim.AdamW(trainable, rate, weight_decay=decay, fused=fused, capturable=captured)
    else:
        momentum, nesterov = recipe.momentum, recipe.nesterov
        made = torch.optim.SGD(
            trainable, rate, momentum=momentum, nesterov=nesterov, weight_decay=decay, fused=fused
        )
    for group in made.param_groups:
        group["peak"] = float(group["lr"])
        if captured:
            group["lr"] = torch.tensor(group["peak"], device=trainable[0].device)
    return made


class Update:
    """Updates the modules one step at a time, and counts the steps before the first non-finite loss.

    Args:
        modules: one for each stream, shared parameters counted once; streams with the same module are
            one batch to it.
        streams: weights and losses.
        recipe: optimiser and precision.
        device: of modules and batches.
        micro_batches: number of parts of each batch, whose gradients add up to the batch's. Batch norm
            sees micro-batches, so its statistics are those of smaller batches.
    """

    captured = False

    def __init__(
        self,
        modules: Sequence[nn.Module],
        streams: Sequence[Stream],
        recipe: Recipe,
        device: torch.device,
        micro_batches: int = 1,
    ) -> None:
        self.modules = nn.ModuleList(modules)
        self._losses = [(stream.loss or self._cross_entropy, stream.weight) for stream in streams]
        self._recipe, self._device, self._micro_batches = recipe, device, micro_batches
        trainable = [p for p in self.modules.parameters() if p.requires_grad]
        batch = sum(stream.batch for stream in streams)
        self.optimiser = optimiser(trainable, recipe, batch, captured=self.captured)
        self._trainable = trainable
        half = recipe.precision == "float16" and device.type != "cpu"
        self._scale = LossScale(device) if half else None
        self.finite_steps = torch.zeros((), dtype=torch.int64, device=device)
        self._all_finite = torch.ones((), dtype=torch.bool, device=device)

    def _cross_entropy(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, label_smoothing=self._recipe.label_smoothing)

    def set_learning_rates(self, step: int, steps: int) -> None:
        """Set the learning rates for a step."""
        for group in self.optimiser.param_groups:
            rate = self._recipe.learning_rate_at(step, steps, group["peak"])
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def step(self, batches: Sequence[Batch]) -> None:
        """Take one step on a batch from every stream."""
        self.optimiser.zero_grad(set_to_none=True)
        self._apply(batches)

    def _apply(self, batches: Sequence[Batch]) -> None:
        total = self._backward(batches)
        if self._scale is not None:
            self._scale.unscale([p.grad for p in self._trainable if p.grad is not None])
        self.optimiser.step()
        self._all_finite.logical_and_(torch.isfinite(total.detach()))
        self.finite_steps.add_(self._all_finite)

    def _backward(self, batches: Sequence[Batch]) -> Tensor:
        """Accumulate the (scaled) gradients of the batches; return the unscaled loss."""
        if self._micro_batches == 1:
            whole = self._loss(batches)
            self._scaled(whole).backward()  # type: ignore[no-untyped-call]
            return whole
        total = torch.zeros((), device=self._device)
        for part in self._split(batches):
            piece = self._loss(part, [len(each[1]) for each in batches])
            self._scaled(piece).backward()  # type: ignore[no-untyped-call]
            total = total + piece.detach()
        return total

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss if self._scale is None else self._scale.scaled(loss)

    def _loss(self, batches: Sequence[Batch], whole: Sequence[int] | None = None) -> Tensor:
        """Return the weighted sum of the streams' mean losses; with `whole`, a micro-batch's share of it."""
        total = torch.zeros((), device=self._device)
        for number, outputs in self._outputs(batches):
            targets = batches[number][1]
            loss, weight = self._losses[number]
            share = weight if whole is None else weight * len(targets) / whole[number]
            total = total + share * loss(outputs.float(), targets)
        return total

    def _outputs(self, batches: Sequence[Batch]) -> Iterator[tuple[int, Tensor]]:
        """Yield each stream's number and outputs; streams of one module are one batch to it.

        So batch norm takes its statistics over all images that go through it in a step.
        """
        by_module: dict[nn.Module, list[int]] = {}
        for number, (_, targets) in enumerate(batches):
            if len(targets):
                by_module.setdefault(self.modules[number], []).append(number)
        for module, numbers in by_module.items():
            inputs = [batches[number][0] for number in numbers]
            with autocast(self._device, self._recipe.precision):
                outputs = module(inputs[0] if len(inputs) == 1 else torch.cat(inputs))
            yield from zip(numbers, outputs.split([len(images) for images in inputs]), strict=True)

    def _split(self, batches: Sequence[Batch]) -> list[list[Batch]]:
        pieces = [
            list(zip(i.tensor_split(self._micro_batches), t.tensor_split(self._micro_batches), strict=True))
            for i, t in batches
        ]
        return [list(part) for part in zip(*pieces, strict=True)]

    def state(self) -> dict[str, Any]:
        """Return all state that steps change, for a checkpoint."""
        state = {
            "modules": self.modules.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "good": self.finite_steps,
            "sound": self._all_finite,
        }
        return state if self._scale is None else {**state, "scale": self._scale.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.modules.load_state_dict(state["modules"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.finite_steps.copy_(state["good"])
        self._all_finite.copy_(state["sound"])
        self._load_scale(state)

    def _load_scale(self, state: dict[str, Any]) -> None:
        if self._scale is not None and "scale" in state:
            self._scale.load(state["scale"])

    def weights_finite(self) -> bool:
        """Return whether all trained parameters are finite; waits for the device."""
        return bool(torch.stack([torch.isfinite(p).all() for p in self._trainable]).all())

    def export_weights(self) -> None:
        """Copy the current weights to the caller's modules; here they are the same modules."""

    def finish(self) -> None:
        """Copy the trained weights to the caller's modules; here they are the same modules."""
