"""How many worker processes this machine's devices have: on an accelerator as many as its memory holds."""

from __future__ import annotations

import os
from pathlib import Path

# Of one accelerator. More processes were not measured; on an H100 4 made 23,832 trainings an hour and one
# 14,752 (tiny models of the quick start), and 1,455 against 1,256 (fast recipe, all of CIFAR-10).
MOST_SHARING = 4
# What a process holds on a device beside torch's own memory: the CUDA context and its kernels.
_CONTEXT = 600 * 2**20  # bytes
# The rest is for what grows later: other shapes of trials, evaluations, fragments.
_SHARE = 0.8  # of a device's free memory


def is_accelerated(device: str) -> bool:
    """Tell whether a device is an accelerator, without asking torch."""
    return device not in {"auto", "cpu"} or (device == "auto" and accelerators() > 0)


def default_workers(device: str) -> int:
    """Return how many processes a device has at first: one for each accelerator, else one for each core."""
    if device in {"auto", "cuda"} and accelerators():
        return accelerators()
    return 1 if is_accelerated(device) else len(os.sched_getaffinity(0))


def workers_that_fit(free: int, used: int, cores: int, *, devices: int = 1, asked: int = 0) -> int:
    """Return how many processes train on accelerators at the same time, all devices together.

    Args:
        free: bytes that were free on a device for its first process.
        used: bytes that torch has reserved for a process that trains.
        cores: CPU cores, of which each process keeps one busy.
        devices: accelerators, all alike.
        asked: what the user has asked for, which wins; 0: nothing.
    """
    held = int(_SHARE * (free + _CONTEXT)) // (used + _CONTEXT)
    return asked or devices * max(1, min(MOST_SHARING, held, cores // devices))


class Sharing:
    """How many workers there are: so many as were asked for, or as fit once one says what it uses.

    Args:
        device: as the settings name it.
        asked: workers that the user has asked for; 0: as many as suit.
        apart: keep to one worker for each accelerator, as some trials take several of these.
    """

    def __init__(self, device: str, asked: int = 0, *, apart: bool = False) -> None:
        self._accelerated, self._alone = is_accelerated(device), default_workers(device)
        self._asked = asked or (self._alone if apart else 0)
        self._cores = len(os.sched_getaffinity(0))
        self._free = self._used = 0
        self._fit = self._asked  # 0: that is not known yet

    @property
    def most(self) -> int:
        """Workers that may be now."""
        return self._fit or self._alone

    def can_miss(self, number: int) -> bool:
        """Tell whether a worker is one that was started beside others, which can go on without it."""
        return not self._asked and number >= self._alone

    def began(self, free: int) -> None:
        """Take note of what was free on a device when its worker began; the first worker's counts."""
        if not self._fit:
            self._free = min(self._free or free, free)

    def uses(self, used: int) -> bool:
        """Take note of what a worker uses; return whether that changes `most`. Only the first raises it."""
        fit = workers_that_fit(self._free, used, self._cores, devices=self._alone, asked=self._asked)
        if self._fit and fit >= self._fit:
            return False
        self._fit, self._used = fit, used
        return True

    def text(self, workers: int) -> str:
        """Say how so many workers share the accelerators, and why; nothing if there is nothing to say."""
        devices = "the device" if self._alone == 1 else f"{self._alone} devices"
        if not self._accelerated or not self._fit or (self._asked and workers <= self._alone):
            return ""
        said = f"{workers} processes share {devices}" if workers > 1 else f"one process trains on {devices}"
        if self._asked:
            return f"{said}, as --workers says"
        used, free = (f"{each / 2**30:.1f}" for each in (self._used, self._free))
        return f"{said}: one uses {used} of {free} GiB that were free; CPU cores: {self._cores}"


def accelerators() -> int:
    """Return how many CUDA devices this process may use, without asking torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([each for each in visible.split(",") if each.strip() and each.strip() != "-1"])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
