"""The device that a name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def device_named(name: str) -> str:
    """Return the device's name; on CPU also fix one thread, as sums in another order give other rows."""
    import torch

    device = name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    return device


def device_title(device: torch.device) -> str:
    """Return what the store calls a device: the accelerator's make, or "cpu"."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
