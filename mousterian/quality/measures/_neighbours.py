"""Nearest neighbours among many feature vectors, in blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CELLS = 2**24  # distances in memory at a time: 64 MiB


class Nearest(NamedTuple):
    """The k nearest neighbours of N vectors: distances (N, k) float32, ascending; positions (N, k)."""

    distances: NDArray[np.float32]
    positions: NDArray[np.int64]


def _blocks(points: Tensor, others: Tensor, k: int = 0) -> tuple[Tensor, ...]:
    """Split points into blocks whose distances to all others, and differences to k of them, fit in memory."""
    size = max(1, _CELLS // max(1, len(others), k * others.shape[1]))
    return torch.split(points, size)


def nearest(
    points: NDArray[np.float32], others: NDArray[np.float32], k: int, device: str, *, same: bool = False
) -> Nearest:
    """Return the k nearest of `others` (M, D) to each of `points` (N, D), by Euclidean distance.

    Args:
        points, others: float32 features.
        k: number of neighbours; reduced if there are fewer others.
        device: torch device name.
        same: both are the same array; no point is its own neighbour.
    """
    queries, keys = torch.from_numpy(points).to(device), torch.from_numpy(others).to(device)
    k = min(k, len(keys) - same)
    distances, positions, start = [], [], 0
    for block in _blocks(queries, keys, k):
        table = torch.cdist(block, keys)
        if same:
            rows = torch.arange(len(block), device=device)
            table[rows, rows + start] = torch.inf
        found = table.topk(k, largest=False).indices
        # cdist loses small distances to cancellation: recompute those found.
        exact = (block[:, None] - keys[found]).square().sum(2).sqrt()
        order = exact.argsort(dim=1)
        distances.append(exact.gather(1, order).cpu().numpy())
        positions.append(found.gather(1, order).cpu().numpy())
        start += len(block)
    return Nearest(np.concatenate(distances), np.concatenate(positions))


def balls_around(
    points: NDArray[np.float32], centres: NDArray[np.float32], radii: NDArray[np.float32], device: str
) -> NDArray[np.int64]:
    """Return the number of balls that contain each of `points` (N, D): (N,) int64.

    Args:
        points: float32 features.
        centres: (M, D) float32.
        radii: (M,) float32, of the balls.
        device: torch device name.
    """
    queries, keys = torch.from_numpy(points).to(device), torch.from_numpy(centres).to(device)
    limits = torch.from_numpy(radii).to(device)
    counts = [(torch.cdist(block, keys) <= limits).sum(1).cpu().numpy() for block in _blocks(queries, keys)]
    return np.concatenate(counts)
