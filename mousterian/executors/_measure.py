"""Trainings an hour of one way to share a device, from some steps of a trial, in processes of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

from mousterian.executors._processes import start
from mousterian.orphan import die_with_parent
from mousterian.trial import Settings, Trial

_STEPS = 100
_SECONDS = 3.0  # of each measurement, and never less than one group of trainings
_PATIENCE = 180.0  # seconds for a process to start, to warm up, or to measure


def device_name(settings: Settings) -> str:
    """Return the device's name, asked for in another process: this one loads no torch."""
    process, connection = start(_say_name, settings)
    try:
        name = connection.recv() if connection.poll(_PATIENCE) else ""
    except (EOFError, OSError):
        name = ""
    finally:
        process.kill()
        process.join()
    return str(name or settings.device)


def trainings_an_hour(trial: Trial, settings: Settings, way: str, processes: int, at_once: int) -> float:
    """Return how many trainings of a trial's length an hour has; 0 where it cannot train so.

    Args:
        trial: the one whose shape is measured, on base images alone and without evaluations.
        settings: where.
        way: one of the options of `together`.
        processes: that train at the same time.
        at_once: trials in each of them.
    """
    size = trial.n_base + trial.n_real_plus + trial.n_syn_plus
    recipe = {**trial.recipe, "epochs": None, "iterations": _STEPS}
    recipe.pop("min_iterations", None)
    short = replace(trial, generator=None, n_real_plus=0, n_syn_plus=0, recipe=recipe, evaluations=())
    started = [start(_probe, short, replace(settings, together=way), at_once) for _ in range(processes)]
    connections = [connection for _, connection in started]
    try:
        if not all(_heard(connections)):
            return 0.0
        for connection in connections:
            connection.send("go")
        rates = _heard(connections)
    finally:
        for process, _ in started:
            process.kill()
        for process, _ in started:
            process.join()
    if not all(rates):
        return 0.0
    return 3600 * sum(rates) * _STEPS / _full_length(trial, size)


def _full_length(trial: Trial, size: int) -> int:
    from mousterian.training.recipes import Recipe

    return Recipe.model_validate(dict(trial.recipe)).steps(size)


def _heard(connections: Sequence[Connection]) -> list[float]:
    """Return what each process says next; 0 for one that has died or is too slow."""
    end = time.monotonic() + _PATIENCE
    said = []
    for connection in connections:
        ready = wait([connection], timeout=max(0.0, end - time.monotonic()))
        try:
            said.append(float(connection.recv()) if ready else 0.0)
        except (EOFError, OSError):
            said.append(0.0)
    return said


def _say_name(connection: Connection, settings: Settings) -> None:
    die_with_parent()
    import torch

    from mousterian.supply import device_named, device_title

    connection.send(device_title(torch.device(device_named(settings.device))))


def _probe(connection: Connection, trial: Trial, settings: Settings, at_once: int) -> None:
    """Warm up, say so, wait for the word, and say how many trainings a second there were."""
    die_with_parent()
    from mousterian.together import run_together

    trials = [replace(trial, training_seed=seed) for seed in range(at_once)]

    def train() -> bool:
        found: Sequence[Any] = run_together(trials, settings)
        return not any(isinstance(each, Exception) for each in found)

    connection.send(float(train()))
    connection.recv()
    started, done = time.perf_counter(), 0
    while not done or time.perf_counter() - started < _SECONDS:
        if not train():
            connection.send(0.0)
            return
        done += at_once
    connection.send(done / (time.perf_counter() - started))
