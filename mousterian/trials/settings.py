"""Where trials run: folders, device, acceleration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where trials run and where their rows go; results do not depend on it.

    Attributes:
        store: the store's folder, which also has the pools.
        data_dir: folder of the datasets; None: the default.
        device: torch device name, or "auto".
        grid: name of the grid.
        acceleration: how steps are taken: auto, eager, graph or compile (training/acceleration.py).
        devices: number of devices that train one trial together; 0: as many as its recipe asks for.
    """

    store: Path
    data_dir: Path | None
    device: str
    grid: str
    acceleration: str = "auto"
    devices: int = 0
