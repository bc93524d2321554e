"""What a run needs beside the trials: folders, device, precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where trials run and where their rows go; no result depends on it.

    Attributes:
        store: the store's folder; pools lie in it too.
        data_dir: folder of the datasets, None for the default.
        device: torch device name, or "auto".
        grid: name of the grid that asks.
        acceleration: how steps are taken: auto, eager, graph or compile (training/acceleration.py).
        devices: that train one trial together (devices.py); 0: as many as its recipe asks for.
    """

    store: Path
    data_dir: Path | None
    device: str
    grid: str
    acceleration: str = "auto"
    devices: int = 0
