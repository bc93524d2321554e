"""How many worker processes share this machine's devices: on an accelerator, as many as its memory holds."""

from __future__ import annotations

import os
from pathlib import Path

# Environment of processes that train: sums over another number of threads differ in their last bits, and the
# numeric libraries read these variables once, when they are loaded.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# Processes per accelerator. More were not measured; on an H100 4 ran 23,832 trainings an hour and one 14,752
# (tiny models of the quick start), and 1,455 against 1,256 (fast recipe, all of CIFAR-10).
MOST_SHARING = 4
# What a process uses on a device beside torch's own memory: the CUDA context and its kernels.
_CONTEXT = 600 * 2**20  # bytes
# The rest is a reserve for later growth: trials of other shapes, evaluations, fragmentation.
_SHARE = 0.8  # of a device's free memory


def is_accelerated(device: str) -> bool:
    """Return whether a device is an accelerator, without importing torch."""
    return device not in {"auto", "cpu"} or (device == "auto" and accelerators() > 0)


def default_workers(device: str) -> int:
    """Return the initial number of processes: one for each accelerator, else one for each core."""
    if device in {"auto", "cuda"} and accelerators():
        return accelerators()
    return 1 if is_accelerated(device) else len(os.sched_getaffinity(0))


def workers_that_fit(free: int, used: int, cores: int, *, devices: int = 1, requested: int = 0) -> int:
    """Return how many processes can train on the accelerators at the same time, on all of them together.

    Args:
        free: bytes that were free on a device for its first process.
        used: bytes that torch has reserved for a process that trains.
        cores: CPU cores; each process keeps one busy.
        devices: number of accelerators, all of one type.
        requested: number that the user requested, which takes precedence; 0: none.
    """
    fit = int(_SHARE * (free + _CONTEXT)) // (used + _CONTEXT)
    return requested or devices * max(1, min(MOST_SHARING, fit, cores // devices))


class Sharing:
    """The number of workers: as many as were requested, or as fit in memory once one reports its use.

    Args:
        device: device of the settings.
        requested: workers that the user requested; 0: chosen here.
        exclusive: keep to one worker for each accelerator, as some trials use several accelerators.
    """

    def __init__(self, device: str, requested: int = 0, *, exclusive: bool = False) -> None:
        self._accelerated, self._initial = is_accelerated(device), default_workers(device)
        self._requested = requested or (self._initial if exclusive else 0)
        self._cores = len(os.sched_getaffinity(0))
        self._free = self._used = 0
        self._fit = self._requested  # 0: not known yet

    @property
    def most(self) -> int:
        """The largest number of workers at this moment."""
        return self._fit or self._initial

    def is_optional(self, number: int) -> bool:
        """Return whether a worker was started beside others that can continue without it."""
        return not self._requested and number >= self._initial

    def worker_started(self, free: int) -> None:
        """Note the memory that was free on a device when its worker started; the first worker's counts."""
        if not self._fit:
            self._free = min(self._free or free, free)

    def memory_used(self, used: int) -> bool:
        """Note a worker's use of memory; return whether `most` changes. Only the first report raises it."""
        fit = workers_that_fit(
            self._free, used, self._cores, devices=self._initial, requested=self._requested
        )
        if self._fit and fit >= self._fit:
            return False
        self._fit, self._used = fit, used
        return True

    def notice(self, workers: int) -> str:
        """Return how this many workers share the accelerators, and why; empty if there is nothing to say."""
        devices = "the device" if self._initial == 1 else f"{self._initial} devices"
        if not self._accelerated or not self._fit or (self._requested and workers <= self._initial):
            return ""
        text = f"{workers} processes share {devices}" if workers > 1 else f"one process trains on {devices}"
        if self._requested:
            return f"{text}, as set by --workers"
        used, free = (f"{each / 2**30:.1f}" for each in (self._used, self._free))
        return f"{text}: one uses {used} of {free} GiB that were free; CPU cores: {self._cores}"


def accelerators() -> int:
    """Return how many CUDA devices this process may use, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([each for each in visible.split(",") if each.strip() and each.strip() != "-1"])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
