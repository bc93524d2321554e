"""Distances between many feature vectors, a part at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_CELLS = 2**24  # distances held at a time: 64 MiB


class Nearest(NamedTuple):
    """The k nearest of others to each of N vectors: distances (N, k) float32, rising; positions (N, k)."""

    distances: NDArray[np.float32]
    positions: NDArray[np.int64]


def _parts(points: Tensor, others: Tensor, k: int = 0) -> tuple[Tensor, ...]:
    """Cut points into parts whose distances to all others, and differences to k of them, can be held."""
    size = max(1, _CELLS // max(1, len(others), k * others.shape[1]))
    return torch.split(points, size)


def nearest(
    points: NDArray[np.float32], others: NDArray[np.float32], k: int, device: str, *, same: bool = False
) -> Nearest:
    """Return the k nearest of `others` (M, D) to each of `points` (N, D), by Euclidean distance.

    Args:
        points, others: float32 features.
        k: how many; never more than there are.
        device: torch device name.
        same: both are one array, and no point is a neighbour of itself.
    """
    queries, keys = torch.from_numpy(points).to(device), torch.from_numpy(others).to(device)
    k = min(k, len(keys) - same)
    distances, positions, start = [], [], 0
    for part in _parts(queries, keys, k):
        table = torch.cdist(part, keys)
        if same:
            rows = torch.arange(len(part), device=device)
            table[rows, rows + start] = torch.inf
        found = table.topk(k, largest=False).indices
        # cdist multiplies matrices, and loses small distances in rounding: those found are taken again.
        exact = (part[:, None] - keys[found]).square().sum(2).sqrt()
        order = exact.argsort(dim=1)
        distances.append(exact.gather(1, order).cpu().numpy())
        positions.append(found.gather(1, order).cpu().numpy())
        start += len(part)
    return Nearest(np.concatenate(distances), np.concatenate(positions))


def balls_around(
    points: NDArray[np.float32], centres: NDArray[np.float32], radii: NDArray[np.float32], device: str
) -> NDArray[np.int64]:
    """Return in how many balls each of `points` (N, D) lies: (N,) int64.

    Args:
        points: float32 features.
        centres: (M, D) float32, of the balls.
        radii: (M,) float32.
        device: torch device name.
    """
    queries, keys = torch.from_numpy(points).to(device), torch.from_numpy(centres).to(device)
    limits = torch.from_numpy(radii).to(device)
    counts = [(torch.cdist(part, keys) <= limits).sum(1).cpu().numpy() for part in _parts(queries, keys)]
    return np.concatenate(counts)
