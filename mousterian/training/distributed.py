"""Data-parallel training of one run on several devices: one process on each takes a share of every batch.

Each process draws the same batches with the same augmentation, trains a full replica of the model on its
share, and sums gradients with the others. Batch norm statistics are taken over the batches of all, so the
run equals the one on a single device up to rounding, except for random numbers drawn by the model (dropout).

Gradients do not use torch's DistributedDataParallel: it rebuilds its buckets after the first step, so a run
on three or more devices that resumes from a checkpoint would not match, bit for bit, the uninterrupted run.
Batch norms do not use torch's SyncBatchNorm: it is for CUDA only, and synchronises the host in every layer.
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

_BATCH_NORM = inspect.signature(functional.batch_norm)


@dataclass(frozen=True)
class Group:
    """The processes that train one model, seen from one of them.

    Attributes:
        rank: of this process, from 0.
        world_size: number of processes.
    """

    rank: int
    world_size: int

    def share(self, batch: Batch, micro_batches: int) -> Batch:
        """Return this process's share of a batch, which is later split into micro-batches.

        Raises:
            InputError: a process, or one of its micro-batches, would have no image.
        """
        targets = batch[1]
        if len(targets) < self.world_size * micro_batches:
            raise InputError(
                f"a batch of {len(targets)} images cannot be shared by {self.world_size} devices"
                + (f" in {micro_batches} micro-batches each" if micro_batches > 1 else ""),
                hint="set the recipe's devices lower or its batch_size higher",
            )
        own = [each.tensor_split(self.world_size)[self.rank] for each in batch]
        return own[0], own[1]

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, float32 and of the same shapes in every process, by their sums over processes."""
        flat = torch.cat([each.reshape(-1) for each in tensors])
        distributed.all_reduce(flat)
        for each, total in zip(
            tensors, flat.split_with_sizes([each.numel() for each in tensors]), strict=True
        ):
            each.copy_(total.view_as(each))

    @torch.no_grad()
    def begin(self, modules: nn.Module, step: int, seed: int) -> None:
        """Start a run: everyone has the weights of process 0, and random numbers of its own.

        Raises:
            RuntimeError: the others start from another step, so from another checkpoint.
        """
        steps = [step] * self.world_size
        distributed.all_gather_object(steps, step)
        if len(set(steps)) > 1:
            raise RuntimeError(f"the processes of one trial start from different steps: {steps}")
        for value in modules.state_dict().values():
            sent = value.contiguous()  # NCCL takes no other layout
            distributed.broadcast(sent, 0)
            value.copy_(sent)
        if self.rank:
            torch.manual_seed(seed_for("device", seed, self.rank, step))


@contextmanager
def process_group(rank: int, world_size: int, device: torch.device, rendezvous: Path) -> Iterator[Group]:
    """Join the group of processes that rendezvous at a file, which must not exist yet.

    They are on one machine and communicate over its loopback interface, or by NCCL between its devices.
    """
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, "lo")
    store = distributed.FileStore(str(rendezvous), world_size)  # type: ignore[attr-defined]
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    try:
        yield Group(rank, world_size)
    finally:
        distributed.destroy_process_group()


class DistributedUpdate(Update):
    """A data-parallel step: each process of a group takes its share, and all end with the same weights."""

    def __init__(
        self,
        group: Group,
        modules: Sequence[nn.Module],
        streams: Sequence[Stream],
        recipe: Recipe,
        device: torch.device,
        *,
        micro_batches: int = 1,
    ) -> None:
        super().__init__(modules, streams, recipe, device, micro_batches)
        self._group = group

    def _backward(self, batches: Sequence[Batch]) -> Tensor:
        whole = [len(targets) for _, targets in batches]
        own = [self._group.share(batch, self._micro_batches) for batch in batches]
        total = torch.zeros((), device=self._device)
        for part in self._split(own):
            with SynchronisedNorms(self._group):
                piece = self._loss(part, whole)
            self._scaled(piece).backward()  # type: ignore[no-untyped-call]
            total = total + piece.detach()
        self._group.all_reduce([total, *(p.grad for p in self._trainable if p.grad is not None)])
        return total


class SynchronisedNorms(TorchFunctionMode):
    """Within the context, batch norms in training use statistics over the batches of all processes."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self._group = group

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace `functional.batch_norm`, which torch's and timm's layers call."""
        if func is functional.batch_norm:
            bound = _BATCH_NORM.bind(*args, **(kwargs or {}))
            bound.apply_defaults()
            if bound.arguments["training"]:
                return _synchronised_norm(self._group, **bound.arguments)
        return func(*args, **(kwargs or {}))


def _synchronised_norm(group: Group, *, input: Tensor, momentum: float, eps: float, **norm: Any) -> Tensor:  # noqa: A002
    """Return `functional.batch_norm` in training mode over the batches of all processes."""
    images = input
    mean, variance, total = _moments(group, images)
    if norm["running_mean"] is not None:
        with torch.no_grad():
            norm["running_mean"].lerp_(mean, momentum)
            norm["running_var"].lerp_(variance * (total / (total - 1)), momentum)
    scale = (variance + eps).rsqrt()
    scale = scale if norm["weight"] is None else scale * norm["weight"]
    shift = -mean * scale if norm["bias"] is None else norm["bias"] - mean * scale
    channels = (1, -1, *[1] * (images.ndim - 2))
    return (images * scale.view(channels) + shift.view(channels)).to(images.dtype)


def _moments(group: Group, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean (C,), variance (C,) and count over (N, C, ...) of all processes, float32."""
    variance, mean = torch.var_mean(images.float(), (0, *range(2, images.ndim)), correction=0)
    own = torch.cat([mean, variance, mean.new_full((1,), images.numel() / len(mean))])
    others = torch.zeros_like(own)
    every = _AllReduce.apply(
        torch.stack([own if rank == group.rank else others for rank in range(group.world_size)])
    )
    means, variances, counts = every.tensor_split((len(mean), 2 * len(mean)), dim=1)
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    return mean, (counts * (variances + (means - mean).square())).sum(0) / total, total


class _AllReduce(torch.autograd.Function):
    """The sum of a tensor over all processes, with gradients."""

    @staticmethod
    def forward(_: Any, tensor: Tensor) -> Tensor:
        """Return the sum."""
        found = tensor.clone()
        distributed.all_reduce(found)
        return found

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        """Return the sum of the gradients."""
        return _AllReduce.forward(None, gradient)
