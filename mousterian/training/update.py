"""One optimiser step on a batch from every stream, run as it stands (eager)."""

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
    """Return the context in which a recipe's precision holds; on CPU nothing changes."""
    enabled = device.type != "cpu" and precision != "float32"
    dtype = DTYPES[precision] if enabled else torch.bfloat16
    # Each weight is used once a step, and kept casts would break the capture of a graph.
    return torch.autocast(device.type, dtype, enabled=enabled, cache_enabled=False)


def optimiser(
    parameters: Iterable[nn.Parameter], recipe: Recipe, batch: int, *, captured: bool = False
) -> torch.optim.Optimizer:
    """Build the recipe's optimiser; each group keeps its highest learning rate as `peak`.

    Args:
        parameters: those that learn.
        recipe: which optimiser, and its values.
        batch: images a step, of all streams together.
        captured: keep learning rates and counts as tensors, for a graph that is replayed.
    """
    learning = list(parameters)
    fused = learning[0].is_cuda
    decay, rate = recipe.weight_decay, recipe.learning_rate
    made: torch.optim.Optimizer
    if recipe.optimizer == "muon":
        side = recipe.side_learning_rate * batch
        made = Muon(learning, lr=rate, side_lr=side, momentum=recipe.momentum, weight_decay=decay)
    elif recipe.optimizer == "lamb":
        from timm.optim import Lamb

        made = Lamb(learning, rate, weight_decay=decay)
    elif recipe.optimizer == "adamw":
        made = torch.optim.AdamW(learning, rate, weight_decay=decay, fused=fused, capturable=captured)
    else:
        momentum, nesterov = recipe.momentum, recipe.nesterov
        made = torch.optim.SGD(
            learning, rate, momentum=momentum, nesterov=nesterov, weight_decay=decay, fused=fused
        )
    for group in made.param_groups:
        group["peak"] = float(group["lr"])
        if captured:
            group["lr"] = torch.tensor(group["peak"], device=learning[0].device)
    return made


class Update:
    """Changes the modules by one step at a time, and counts the steps before the first bad loss.

    Args:
        modules: one for each stream, all that they share counted once; the same for streams that are one
            batch to it.
        streams: weights and losses.
        recipe: optimiser and precision.
        device: where all of it lies.
        micro_batches: micro-batches that each batch is cut into; their gradients add up to the batch's. Batch
            norm sees micro-batches, so its statistics are those of smaller batches.
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
        learning = [p for p in self.modules.parameters() if p.requires_grad]
        batch = sum(stream.batch for stream in streams)
        self.optimiser = optimiser(learning, recipe, batch, captured=self.captured)
        self._learning = learning
        half = recipe.precision == "float16" and device.type != "cpu"
        self._scale = LossScale(device) if half else None
        self.good = torch.zeros((), dtype=torch.int64, device=device)
        self._sound = torch.ones((), dtype=torch.bool, device=device)

    def _cross_entropy(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, label_smoothing=self._recipe.label_smoothing)

    def rates(self, step: int, steps: int) -> None:
        """Set the learning rates of a step."""
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
            self._scale.unscale([p.grad for p in self._learning if p.grad is not None])
        self.optimiser.step()
        self._sound.logical_and_(torch.isfinite(total.detach()))
        self.good.add_(self._sound)

    def _backward(self, batches: Sequence[Batch]) -> Tensor:
        """Add up the batches' gradients, scaled where there is a scale; return the loss as it is."""
        if self._micro_batches == 1:
            whole = self._total(batches)
            self._scaled(whole).backward()  # type: ignore[no-untyped-call]
            return whole
        total = torch.zeros((), device=self._device)
        for part in self._cut(batches):
            piece = self._total(part, [len(each[1]) for each in batches])
            self._scaled(piece).backward()  # type: ignore[no-untyped-call]
            total = total + piece.detach()
        return total

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss if self._scale is None else self._scale.scaled(loss)

    def _total(self, batches: Sequence[Batch], whole: Sequence[int] | None = None) -> Tensor:
        """Return the weighted sum of the streams' mean losses; of their shares in whole batches, if given."""
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
        together: dict[nn.Module, list[int]] = {}
        for number, (_, targets) in enumerate(batches):
            if len(targets):
                together.setdefault(self.modules[number], []).append(number)
        for module, numbers in together.items():
            shown = [batches[number][0] for number in numbers]
            with autocast(self._device, self._recipe.precision):
                outputs = module(shown[0] if len(shown) == 1 else torch.cat(shown))
            yield from zip(numbers, outputs.split([len(images) for images in shown]), strict=True)

    def _cut(self, batches: Sequence[Batch]) -> list[list[Batch]]:
        pieces = [
            list(zip(i.tensor_split(self._micro_batches), t.tensor_split(self._micro_batches), strict=True))
            for i, t in batches
        ]
        return [list(part) for part in zip(*pieces, strict=True)]

    def state(self) -> dict[str, Any]:
        """Return all that the step changes, for a checkpoint."""
        state = {
            "modules": self.modules.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "good": self.good,
            "sound": self._sound,
        }
        return state if self._scale is None else {**state, "scale": self._scale.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.modules.load_state_dict(state["modules"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.good.copy_(state["good"])
        self._sound.copy_(state["sound"])
        self._load_scale(state)

    def _load_scale(self, state: dict[str, Any]) -> None:
        if self._scale is not None and "scale" in state:
            self._scale.load(state["scale"])

    def weights_finite(self) -> bool:
        """Tell whether all that was learnt is finite; waits for the device."""
        return bool(torch.stack([torch.isfinite(p).all() for p in self._learning]).all())

    def show(self) -> None:
        """Have the present weights in the caller's modules; here they are the same."""

    def finish(self) -> None:
        """Leave the trained weights in the caller's modules; here they are the same."""
