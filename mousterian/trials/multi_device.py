"""One trial on several devices of one machine: one process for each device, started for this trial.

The parent trains nothing itself: it waits, and kills all processes if one fails or dies. If the parent dies,
so do they. Importing this needs no torch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mousterian.errors import InputError, described
from mousterian.training.device import device_named
from mousterian.training.memory import free, is_out_of_memory
from mousterian.trials.images import images_of

if TYPE_CHECKING:
    from mousterian.trials.identity import Trial
    from mousterian.trials.settings import Settings
    from mousterian.trials.train_and_evaluate import Outcome


_SERVE = (
    "import sys\nfrom mousterian.trials.child_process import die_with_parent\n"
    "die_with_parent(int(sys.argv[2]))\n"
    "from mousterian.trials.multi_device import serve; serve()"
)
_GRACE = 2.0  # seconds to wait for other processes' errors after the first failure


@dataclass(frozen=True)
class _Task:
    """What one process of a trial receives."""

    trial: Trial
    settings: Settings  # with its own device
    rank: int
    checkpoint: Path
    rendezvous: Path
    count: int
    micro_batches: int


@dataclass(frozen=True)
class _Result:
    """What a process sends at its end.

    Attributes:
        outcome: of the trial; from the first process alone.
        failure: "memory", "input", "error" or "died"; empty: none.
        message: of the failure.
    """

    outcome: Outcome | None = None
    failure: str = ""
    message: str = ""


# Of several failures the first in this order is the cause: a process that has lost its peer raises an error.
_CAUSES = ("died", "memory", "input", "error")


def device_count(trial: Trial, settings: Settings) -> int:
    """Return how many devices train the trial: as set by the executor, else by its recipe."""
    return settings.devices or int(trial.recipe.get("devices", 1))


def devices_of(trial: Trial, settings: Settings) -> list[str]:
    """Return the names of the trial's devices, starting from the one in `settings`.

    Raises:
        InputError: there are not enough.
    """
    device, count = device_named(settings.device), device_count(trial, settings)
    if count == 1 or device == "cpu":
        return [device] * count
    import torch

    kind, _, first = device.partition(":")
    available = torch.cuda.device_count() if kind == "cuda" else 1
    if int(first or 0) + count > available:
        raise InputError(
            f"a trial needs {count} devices starting from {kind}:{first or 0}, and there are {available}",
            hint="lower the recipe's devices, or use an executor that has enough",
        )
    return [f"{kind}:{int(first or 0) + number}" for number in range(count)]


def train_on(devices: Sequence[str], trial: Trial, settings: Settings, checkpoint: Path) -> Outcome:
    """Train a trial on several devices together, and evaluate it on the first.

    Raises:
        InputError: the trial's settings are impossible, or memory is insufficient.
        RuntimeError: a process failed or died.
    """
    from mousterian.trials.train_and_evaluate import in_micro_batches

    def run(micro_batches: int) -> Outcome:
        free()  # this process may have made the pool on the first device
        with tempfile.TemporaryDirectory(prefix="mousterian-") as folder:
            common = (checkpoint, Path(folder, "rendezvous"), len(devices), micro_batches)
            tasks = [
                _Task(trial, replace(settings, device=device), rank, *common)
                for rank, device in enumerate(devices)
            ]
            with _started(tasks) as (processes, connections):
                return _outcome(processes, connections)

    return in_micro_batches(int(trial.recipe["batch_size"]), run)


@contextmanager
def _started(
    tasks: Sequence[_Task],
) -> Iterator[tuple[list[subprocess.Popen[bytes]], list[Connection]]]:
    """Start a process for each task; on leaving, kill those that are left."""
    processes: list[subprocess.Popen[bytes]] = []
    connections: list[Connection] = []
    try:
        for task in tasks:
            ours, theirs = Pipe()
            with theirs:
                command = [sys.executable, "-c", _SERVE, str(theirs.fileno()), str(os.getpid())]
                processes.append(subprocess.Popen(command, pass_fds=[theirs.fileno()]))
            connections.append(ours)
            ours.send(task)
        yield processes, connections
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.kill()
            process.wait()


def _outcome(processes: Sequence[subprocess.Popen[bytes]], connections: Sequence[Connection]) -> Outcome:
    """Wait for all processes; raise the cause if one fails."""
    waiting = dict(enumerate(connections))
    failures: list[_Result] = []
    outcome: Outcome | None = None
    deadline = None
    while waiting and (deadline is None or time.monotonic() < deadline):
        ready = wait(list(waiting.values()), timeout=None if deadline is None else _GRACE)
        for rank in [rank for rank, connection in waiting.items() if connection in ready]:
            result = _receive(rank, processes, waiting.pop(rank))
            outcome = result.outcome or outcome
            if result.failure:
                failures.append(result)
                deadline = deadline or time.monotonic() + _GRACE
    if failures or outcome is None:
        _raise(min(failures, key=lambda result: _CAUSES.index(result.failure)))
    return outcome


def _receive(rank: int, processes: Sequence[subprocess.Popen[bytes]], connection: Connection) -> _Result:
    try:
        result: _Result = connection.recv()
    except (EOFError, OSError):
        code = processes[rank].wait()
        return _Result(
            failure="died", message=f"process {rank + 1} of {len(processes)} died (exit code {code})"
        )
    return result


def _raise(result: _Result) -> NoReturn:
    if result.failure == "memory":
        raise MemoryError(result.message)
    if result.failure == "input":
        raise InputError(result.message)
    raise RuntimeError(f"training on several devices failed: {result.message}")


def _train(given: _Task) -> Outcome | None:
    """Train one process's share; the first process evaluates."""
    import torch

    from mousterian.training.checkpoint import Checkpoint
    from mousterian.training.distributed import process_group
    from mousterian.trials.train_and_evaluate import observed, observers_of, outcome_of, task_of, trained

    device = torch.device(device_named(given.settings.device))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Only the first process writes checkpoints: the others have the same weights.
    trial, rank = given.trial, given.rank
    checkpoint = Checkpoint(given.checkpoint, trial.key, None if rank == 0 else float("inf"))
    with process_group(rank, given.count, device, given.rendezvous) as group:
        images = images_of(trial, given.settings)
        task = task_of(trial, images, device, "eager")
        task = replace(task, checkpoint=checkpoint, micro_batches=given.micro_batches, group=group)
        observers = [] if rank else observers_of(trial, images, task.device)
        model, cost = trained(trial, images, observed(task, observers))
        return None if rank else outcome_of(trial, model, images, cost, observers)


def serve() -> None:
    """Run one of a trial's processes: receive its task, train, send the result."""
    connection = Connection(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it, and kills this process if need be
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm's signal that a job's time is over
    task: _Task = connection.recv()
    threading.Thread(target=_exit_with_parent, args=(connection,), daemon=True).start()
    try:
        result = _Result(_train(task))
    except Exception as error:  # whatever a plug-in raises is this trial's failure
        if is_out_of_memory(error):
            result = _Result(failure="memory", message=str(error))
        else:
            kind = "input" if isinstance(error, InputError) else "error"
            result = _Result(failure=kind, message=described(error))
    connection.send(result)


def _exit_with_parent(connection: Connection) -> None:
    """End this process when the parent closes its end, on systems whose kernel does not."""
    wait([connection])
    os._exit(1)
