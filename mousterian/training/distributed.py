"""One training run on several devices: a process on each takes its share of every batch.

Each process draws the same batches with the same augmentation, trains a whole copy of the model on its share,
and adds up gradients with the others (data parallelism). Batch norms take their statistics over the batches
of all (as torch's SyncBatchNorm, which has no CPU version), so the run is the one on a single device up to
rounding. A model that draws random numbers while it trains (dropout) draws others.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mousterian.errors import InputError
from mousterian.seeds import seed_for
from mousterian.training.feed import Batch, Stream
from mousterian.training.recipes import Recipe
from mousterian.training.update import Update

_BUCKET = 16 * 2**20  # numbers that are sent at once
_BATCH_NORM = inspect.signature(functional.batch_norm)


@dataclass(frozen=True)
class Group:
    """The processes that train one model, as one of them sees it.

    Attributes:
        rank: which of them this is, from 0 on.
        count: how many there are.
    """

    rank: int
    count: int

    def share(self, batch: Batch, parts: int) -> Batch:
        """Return this process's share of a batch, which is cut into `parts` micro-batches further on.

        Raises:
            InputError: a process, or one of its micro-batches, would have no image.
        """
        targets = batch[1]
        if len(targets) < self.count * parts:
            raise InputError(
                f"a batch of {len(targets)} images cannot be shared by {self.count} devices"
                + (f" in {parts} micro-batches each" if parts > 1 else ""),
                hint="set the recipe's devices lower or its batch_size higher",
            )
        own = [each.tensor_split(self.count)[self.rank] for each in batch]
        return own[0], own[1]

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, float32 and of the same shapes in every process, by their sums over all."""
        sent = []
        for bucket in _buckets(tensors):
            flat = torch.cat([each.reshape(-1) for each in bucket])
            sent.append((bucket, flat, distributed.all_reduce(flat, async_op=True)))
        for bucket, flat, work in sent:
            work.wait()
            start = 0
            for each in bucket:
                each.copy_(flat[start : start + each.numel()].view_as(each))
                start += each.numel()

    @torch.no_grad()
    def begin(self, modules: nn.Module, step: int, seed: int) -> None:
        """Start a run: everyone has the weights of process 0, and random numbers of its own.

        Raises:
            RuntimeError: the others start from another step, so from another checkpoint.
        """
        device = next(modules.parameters()).device
        steps = torch.zeros(self.count, device=device)
        steps[self.rank] = step
        self.add([steps])
        if not bool((steps == step).all()):
            raise RuntimeError(f"the processes of one trial start from different steps: {steps.tolist()}")
        for value in modules.state_dict().values():
            sent = value.contiguous()  # NCCL takes no other layout
            distributed.broadcast(sent, 0)
            value.copy_(sent)
        if self.rank:
            torch.manual_seed(seed_for("device", seed, self.rank, step))


def _buckets(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Return tensors in order, so many together that sending them is worth its start."""
    buckets: list[list[Tensor]] = []
    room = 0
    for each in tensors:
        if not buckets or each.numel() > room:
            buckets.append([])
            room = _BUCKET
        buckets[-1].append(each)
        room -= each.numel()
    return buckets


@contextmanager
def joined(rank: int, count: int, device: torch.device, meeting: Path) -> Iterator[Group]:
    """Join the processes of a group; they find each other by a file that does not exist yet.

    They are on one machine and talk over its loopback interface, or as NCCL does between its devices.
    """
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, "lo")
    store = distributed.FileStore(str(meeting), count)  # type: ignore[attr-defined]
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield Group(rank, count)
    finally:
        distributed.destroy_process_group()


class SharedUpdate(Update):
    """A step of which each process of a group takes its share; all of them end with the same weights."""

    def __init__(
        self,
        group: Group,
        modules: Sequence[nn.Module],
        streams: Sequence[Stream],
        recipe: Recipe,
        device: torch.device,
        *,
        parts: int = 1,
    ) -> None:
        super().__init__(modules, streams, recipe, device, parts)
        self._group = group

    def _backward(self, batches: Sequence[Batch]) -> Tensor:
        whole = [len(targets) for _, targets in batches]
        own = [self._group.share(batch, self._parts) for batch in batches]
        total = torch.zeros((), device=self._device)
        for part in self._cut(own):
            with SharedStatistics(self._group):
                piece = self._total(part, whole)
            self._scaled(piece).backward()  # type: ignore[no-untyped-call]
            total = total + piece.detach()
        self._group.add([total, *(p.grad for p in self._learning if p.grad is not None)])
        return total


class SharedStatistics(TorchFunctionMode):
    """While entered, batch norms in training take their statistics over the batches of all processes."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self._group = group

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer for `functional.batch_norm`, through which torch's and timm's layers go."""
        if func is functional.batch_norm:
            bound = _BATCH_NORM.bind(*args, **(kwargs or {}))
            bound.apply_defaults()
            if bound.arguments["training"]:
                return _shared_norm(self._group, **bound.arguments)
        return func(*args, **(kwargs or {}))


def _shared_norm(group: Group, *, input: Tensor, momentum: float, eps: float, **norm: Any) -> Tensor:  # noqa: A002
    """Return `functional.batch_norm` in training, whose arguments these are, over all processes' batches."""
    mean, variance, total = moments = _moments(group, input)
    if norm["running_mean"] is not None:
        norm["running_mean"].lerp_(mean, momentum)
        norm["running_var"].lerp_(variance * (total / (total - 1)), momentum)
    found: Tensor = _Norm.apply(input, norm["weight"], norm["bias"], moments, eps, group)
    return found


@torch.no_grad()
def _moments(group: Group, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean (C,), variance (C,) and count over (N, C, ...) of all processes, float32."""
    variance, mean = torch.var_mean(images.float(), _over(images), correction=0)
    count = mean.new_full((1,), images.numel() / images.shape[1])
    told = mean.new_zeros(group.count, 2 * len(mean) + 1)
    told[group.rank] = torch.cat([mean, variance, count])
    distributed.all_reduce(told)
    means, variances, counts = told.tensor_split((len(mean), 2 * len(mean)), dim=1)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    return mean, (counts * (variances + (means - mean).square())).sum(0) / total, total


class _Norm(torch.autograd.Function):
    """Normalisation by statistics over all processes, and its gradient, which also goes through them."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        """Take images, weight, bias, moments over all processes, eps and the group."""
        images, weight, bias, (mean, variance, ctx.total), eps, _ = arguments
        ctx.save_for_backward(images, weight, mean, (variance + eps).rsqrt())
        return functional.batch_norm(images, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of images, weight and bias; the last two of this process's images alone."""
        images, weight, mean, inverse = ctx.saved_tensors
        over, channels = _over(images), (1, -1, *[1] * (images.ndim - 2))
        given = gradients[0].float()
        normal = (images.float() - mean.view(channels)) * inverse.view(channels)
        of_bias, of_weight = given.sum(over), (given * normal).sum(over)
        shared = torch.cat([of_bias, of_weight])
        distributed.all_reduce(shared)
        shift, slope = (shared / ctx.total).chunk(2)
        scale = inverse if weight is None else inverse * weight
        found = (given - shift.view(channels) - normal * slope.view(channels)) * scale.view(channels)
        _, of_weights, of_biases, *_ = ctx.needs_input_grad
        return (
            found.to(images.dtype),
            of_weight if of_weights else None,
            of_bias if of_biases else None,
            *[None] * 3,
        )


def _over(images: Tensor) -> tuple[int, ...]:
    return (0, *range(2, images.ndim))
