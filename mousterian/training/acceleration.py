"""Which update a run gets: eager, or a step captured once and replayed by all trials of the same shape."""

from __future__ import annotations

import copy
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mousterian.errors import unknown_name
from mousterian.training.distributed import DistributedUpdate, Group
from mousterian.training.feed import Batch, Stream
from mousterian.training.recipes import Recipe
from mousterian.training.update import Update

MODES = ("auto", "eager", "graph", "compile")
# timm's LAMB counts its steps on the host, where a graph that is replayed does not see them.
_NEVER_CAPTURED = ("lamb",)
_WARM_UP = 3
_CACHE_SIZE = 4
_log = logging.getLogger(__name__)


class CapturedUpdate(Update):
    """An update on copies of the modules at fixed addresses, replayed as one CUDA graph.

    Trials of the same shape take turns: `begin` copies a trial's initial weights in and clears the
    optimiser, `finish` copies the trained weights out. Without CUDA the same is done step by step.

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
        held: nn.ModuleList = copy.deepcopy(nn.ModuleList(modules))
        super().__init__(list(held), streams, recipe, device, micro_batches)
        if compiled:
            for module in self.modules:
                module.compile(dynamic=False)
        self._source = nn.ModuleList(modules)
        self._inputs: list[Batch] = []
        self._replay: Callable[[], None] | None = None
        self._pending: dict[str, Any] | None = None

    def begin(self, modules: Sequence[nn.Module]) -> None:
        """Start a trial: its weights, an optimiser without a past."""
        self._source = nn.ModuleList(modules)
        self._pending = None
        _copy(self._source.state_dict(), self.modules.state_dict())
        for state in self.optimiser.state.values():
            for value in state.values():
                if isinstance(value, Tensor):
                    value.zero_()
        self.good.zero_()
        self._sound.fill_(True)
        if self._scale is not None:
            self._scale.reset()

    def step(self, batches: Sequence[Batch]) -> None:
        """Take one step on a batch from every stream."""
        if self._replay is None:
            self._inputs = [(images.clone(), targets.clone()) for images, targets in batches]
            # What the warm-up draws (dropout) is drawn again by the steps.
            with torch.random.fork_rng(devices=[self._device] if self.captured else []):
                self._warm_up()
            pending = self._pending
            self.begin(list(self._source))
            self._pending = pending
            self._replay = self._record()
        if self._pending is not None:
            self._put(self._pending)
            self._pending = None
        for (images, targets), (to_images, to_targets) in zip(batches, self._inputs, strict=True):
            to_images.copy_(images)
            to_targets.copy_(targets)
        self._replay()

    def _eagerly(self) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        self._apply(self._inputs)

    def _warm_up(self) -> None:
        """Let libraries choose their kernels and the optimiser make its state, before recording."""
        if not self.captured:
            self._eagerly()
            return
        side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._eagerly()
        torch.cuda.current_stream(self._device).wait_stream(side)

    def _record(self) -> Callable[[], None]:
        if not self.captured:
            return self._eagerly
        self.optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._apply(self._inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            _log.warning("this model's step cannot be captured as a CUDA graph (%s); it runs eagerly", reason)
            return self._eagerly
        return graph.replay

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state; put in place when the first step is taken."""
        self._pending = state

    def _put(self, state: dict[str, Any]) -> None:
        _copy(state["modules"], self.modules.state_dict())
        self.good.copy_(state["good"])
        self._sound.copy_(state["sound"])
        self._load_scale(state)
        past = state["optimiser"]["state"]
        learning = [p for group in self.optimiser.param_groups for p in group["params"]]
        for number, parameter in enumerate(learning):
            for name, value in self.optimiser.state[parameter].items():
                if isinstance(value, Tensor) and number in past:
                    value.copy_(past[number][name])

    def show(self) -> None:
        """Have the present weights in the caller's modules."""
        _copy(self.modules.state_dict(), self._source.state_dict())

    def finish(self) -> None:
        """Leave the trained weights in the caller's modules."""
        self.show()
        self._source = nn.ModuleList()


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
        device: where it runs.
        micro_batches: micro-batches of a batch.
        mode: one of MODES; "auto" is a graph on CUDA and eager elsewhere.
        key: runs with the same key and shapes share one captured update; empty: none is kept.
        group: the processes that train the modules together; their steps are eager.

    Raises:
        InputError: unknown mode.
    """
    if mode not in MODES:
        raise unknown_name("acceleration", mode, MODES)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # all batches have one shape: the fastest kernel is chosen once
    if group is not None:
        return DistributedUpdate(group, modules, streams, recipe, device, micro_batches=micro_batches)
    eager = mode == "eager" or (mode == "auto" and device.type != "cuda")
    if eager or recipe.optimizer in _NEVER_CAPTURED:
        return Update(modules, streams, recipe, device, micro_batches)
    shapes = tuple((stream.batch, *stream.mixture.arrays[0].shape[1:]) for stream in streams)
    name = (key, mode, str(device), micro_batches, recipe.model_dump_json(), shapes)
    held = _cache.pop(name, None) if key else None
    if held is None:
        compiled = mode == "compile"
        held = CapturedUpdate(modules, streams, recipe, device, micro_batches, compiled=compiled)
    held.begin(modules)
    if key:
        _cache[name] = held
        while len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    return held


def clear_cache() -> None:
    """Let go of all captured updates and their memory."""
    _cache.clear()
