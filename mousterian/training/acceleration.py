"""Choosing a run's update: eager, or a step captured once and replayed by all trials of the same shape."""

from __future__ import annotations

import copy
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mousterian.errors import first_line, unknown_name
from mousterian.training.distributed import DistributedUpdate, Group
from mousterian.training.feed import Batch, Stream
from mousterian.training.recipes import Recipe
from mousterian.training.update import Update

MODES = ("auto", "eager", "graph", "compile")
# timm's LAMB counts its steps on the host, which a replayed graph cannot see.
_NOT_CAPTURABLE = ("lamb",)
_WARM_UP_STEPS = 3
_CACHE_SIZE = 4
_log = logging.getLogger(__name__)


class CapturedUpdate(Update):
    """An update of copies of the modules at fixed addresses, replayed as one CUDA graph.

    Trials of the same shape share it in turn: `begin` copies a trial's initial weights in and resets the
    optimiser, `finish` copies the trained weights out. Without CUDA the step runs eagerly instead.

    Args:
        modules, streams, recipe, device, micro_batches: as for Update.
        compiled: compile the modules first.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        streams: Sequence[Stream],
        recipe: Recipe,
        device: torch.device,
        micro_batches: int = 1,
        *,
        compiled: bool = False,
    ) -> None:
        self.captured = device.type == "cuda"
        copies: nn.ModuleList = copy.deepcopy(nn.ModuleList(modules))
        super().__init__(list(copies), streams, recipe, device, micro_batches)
        if compiled:
            for module in self.modules:
                module.compile(dynamic=False)
        self._original = nn.ModuleList(modules)
        self._inputs: list[Batch] = []
        self._replay: Callable[[], None] | None = None
        self._pending: dict[str, Any] | None = None

    def begin(self, modules: Sequence[nn.Module]) -> None:
        """Start a trial: load its weights and reset the optimiser."""
        self._original = nn.ModuleList(modules)
        self._pending = None
        _copy(self._original.state_dict(), self.modules.state_dict())
        for state in self.optimiser.state.values():
            for value in state.values():
                if isinstance(value, Tensor):
                    value.zero_()
        self.finite_steps.zero_()
        self._all_finite.fill_(True)
        if self._scale is not None:
            self._scale.reset()

    def step(self, batches: Sequence[Batch]) -> None:
        """Take one step on a batch from every stream."""
        if self._replay is None:
            self._inputs = [(images.clone(), targets.clone()) for images, targets in batches]
            # The warm-up must not consume random numbers (dropout) of the steps.
            with torch.random.fork_rng(devices=[self._device] if self.captured else []):
                self._warm_up()
            pending = self._pending
            self.begin(list(self._original))
            self._pending = pending
            self._replay = self._record()
        if self._pending is not None:
            self._restore(self._pending)
            self._pending = None
        for (images, targets), (to_images, to_targets) in zip(batches, self._inputs, strict=True):
            to_images.copy_(images)
            to_targets.copy_(targets)
        self._replay()

    def _run_eagerly(self) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        self._apply(self._inputs)

    def _warm_up(self) -> None:
        """Let libraries choose kernels and the optimiser create its state, before recording."""
        if not self.captured:
            self._run_eagerly()
            return
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_STEPS):
                self._run_eagerly()
        torch.cuda.current_stream(self._device).wait_stream(stream)

    def _record(self) -> Callable[[], None]:
        if not self.captured:
            return self._run_eagerly
        self.optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._apply(self._inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            _log.warning(
                "this model's step cannot be captured as a CUDA graph (%s); it runs eagerly",
                first_line(error),
            )
            return self._run_eagerly
        return graph.replay

    def load(self, state: dict[str, Any]) -> None:
        """Restore a state, when the first step is taken."""
        self._pending = state

    def _restore(self, state: dict[str, Any]) -> None:
        _copy(state["modules"], self.modules.state_dict())
        self.finite_steps.copy_(state["good"])
        self._all_finite.copy_(state["sound"])
        self._load_scale(state)
        optimiser_state = state["optimiser"]["state"]
        trainable = [p for group in self.optimiser.param_groups for p in group["params"]]
        for number, parameter in enumerate(trainable):
            for name, value in self.optimiser.state[parameter].items():
                if isinstance(value, Tensor) and number in optimiser_state:
                    value.copy_(optimiser_state[number][name])

    def export_weights(self) -> None:
        """Copy the current weights to the caller's modules."""
        _copy(self.modules.state_dict(), self._original.state_dict())

    def finish(self) -> None:
        """Copy the trained weights to the caller's modules."""
        self.export_weights()
        self._original = nn.ModuleList()


@torch.no_grad()
def _copy(source: dict[str, Any], target: dict[str, Any]) -> None:
    for name, value in source.items():
        target[name].copy_(value)


_cache: OrderedDict[tuple[object, ...], CapturedUpdate] = OrderedDict()


def update_for(
    modules: Sequence[nn.Module],
    streams: Sequence[Stream],
    recipe: Recipe,
    device: torch.device,
    *,
    micro_batches: int = 1,
    mode: str = "auto",
    key: str = "",
    group: Group | None = None,
) -> Update:
    """Return the update of a run.

    Args:
        modules: one for each stream, in training mode.
        streams: batch sizes, weights, losses.
        recipe: optimiser and precision.
        device: to run on.
        micro_batches: number of parts of each batch.
        mode: one of MODES; "auto" is a graph on CUDA and eager elsewhere.
        key: runs with the same key and shapes share one captured update; empty: no caching.
        group: the processes that train the modules together; their steps are eager.

    Raises:
        InputError: unknown mode.
    """
    if mode not in MODES:
        raise unknown_name("acceleration", mode, MODES)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # batch shapes are constant: choose the fastest kernel once
    if group is not None:
        return DistributedUpdate(group, modules, streams, recipe, device, micro_batches=micro_batches)
    eager = mode == "eager" or (mode == "auto" and device.type != "cuda")
    if eager or recipe.optimizer in _NOT_CAPTURABLE:
        return Update(modules, streams, recipe, device, micro_batches)
    shapes = tuple((stream.batch, *stream.mixture.arrays[0].shape[1:]) for stream in streams)
    name = (key, mode, str(device), micro_batches, recipe.model_dump_json(), shapes)
    update = _cache.pop(name, None) if key else None
    if update is None:
        compiled = mode == "compile"
        update = CapturedUpdate(modules, streams, recipe, device, micro_batches, compiled=compiled)
    update.begin(modules)
    if key:
        _cache[name] = update
        while len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    return update


def clear_cache() -> None:
    """Release all captured updates and their memory."""
    _cache.clear()
