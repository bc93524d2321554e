"""Devices by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def device_named(name: str) -> str:
    """Return the device's name; on CPU also set one thread, since the order of sums changes results."""
    import torch

    device = name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    return device


def device_title(device: torch.device) -> str:
    """Return the name of a device in the store: the accelerator's product name, or "cpu"."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
