"""One trial on several devices of one machine: a process on each, started for the trial and gone with it.

The process that asks trains nothing itself. It waits; if one of the others fails or dies, it ends them all,
and if it dies, so do they. Importing this needs no torch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mousterian.errors import InputError
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
_GRACE = 2.0  # seconds in which the first failure's cause may be told by another process


@dataclass(frozen=True)
class _Part:
    """What one process of a trial is told."""

    trial: Trial
    settings: Settings  # with its own device
    rank: int
    checkpoint: Path
    meeting: Path
    count: int
    parts: int


@dataclass(frozen=True)
class _Said:
    """What a process says at its end.

    Attributes:
        outcome: of the trial; from the first process alone.
        kind: of what went wrong: nothing, "memory", "input" or "error".
        text: what went wrong.
    """

    outcome: Outcome | None = None
    kind: str = ""
    text: str = ""


# Of two processes that failed, the one that comes first here tells the cause; the other misses its fellow.
_TELLING = ("died", "memory", "input", "error")


def devices_asked(trial: Trial, settings: Settings) -> int:
    """Return how many devices train the trial: what the executor says, else what its recipe asks for."""
    return settings.devices or int(trial.recipe.get("devices", 1))


def devices_of(trial: Trial, settings: Settings) -> list[str]:
    """Return the names of the trial's devices, from the one that `settings` names on.

    Raises:
        InputError: there are not so many.
    """
    device, count = device_named(settings.device), devices_asked(trial, settings)
    if count == 1 or device == "cpu":
        return [device] * count
    import torch

    kind, _, first = device.partition(":")
    there = torch.cuda.device_count() if kind == "cuda" else 1
    if int(first or 0) + count > there:
        raise InputError(
            f"a trial wants {count} devices from {kind}:{first or 0} on, and there are {there}",
            hint="set the recipe's devices, or take an executor that has as many",
        )
    return [f"{kind}:{int(first or 0) + number}" for number in range(count)]


def train_on(devices: Sequence[str], trial: Trial, settings: Settings, checkpoint: Path) -> Outcome:
    """Train a trial on several devices together, and evaluate it on the first.

    Raises:
        InputError: what the trial asks for is impossible, or memory does not suffice.
        RuntimeError: a process failed or died.
    """
    from mousterian.trials.train_and_evaluate import in_micro_batches

    def run(parts: int) -> Outcome:
        free()  # of this process, which may have made the pool on the first device
        with tempfile.TemporaryDirectory(prefix="mousterian-") as folder:
            common = (checkpoint, Path(folder, "meeting"), len(devices), parts)
            each = [
                _Part(trial, replace(settings, device=device), rank, *common)
                for rank, device in enumerate(devices)
            ]
            with _started(each) as (processes, connections):
                return _outcome(processes, connections)

    return in_micro_batches(int(trial.recipe["batch_size"]), run)


@contextmanager
def _started(
    parts: Sequence[_Part],
) -> Iterator[tuple[list[subprocess.Popen[bytes]], list[Connection]]]:
    """Start a process for each part; on leaving, none of them is left."""
    processes: list[subprocess.Popen[bytes]] = []
    connections: list[Connection] = []
    try:
        for part in parts:
            here, there = Pipe()
            with there:
                command = [sys.executable, "-c", _SERVE, str(there.fileno()), str(os.getpid())]
                processes.append(subprocess.Popen(command, pass_fds=[there.fileno()]))
            connections.append(here)
            here.send(part)
        yield processes, connections
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.kill()
            process.wait()


def _outcome(processes: Sequence[subprocess.Popen[bytes]], connections: Sequence[Connection]) -> Outcome:
    """Wait for what all processes say; raise what the first to fail met."""
    waiting = dict(enumerate(connections))
    failures: list[_Said] = []
    outcome: Outcome | None = None
    until = None
    while waiting and (until is None or time.monotonic() < until):
        ready = wait(list(waiting.values()), timeout=None if until is None else _GRACE)
        for rank in [rank for rank, connection in waiting.items() if connection in ready]:
            said = _heard(rank, processes, waiting.pop(rank))
            outcome = said.outcome or outcome
            if said.kind:
                failures.append(said)
                until = until or time.monotonic() + _GRACE
    if failures or outcome is None:
        _raise(min(failures, key=lambda said: _TELLING.index(said.kind)))
    return outcome


def _heard(rank: int, processes: Sequence[subprocess.Popen[bytes]], connection: Connection) -> _Said:
    try:
        said: _Said = connection.recv()
    except (EOFError, OSError):
        code = processes[rank].wait()
        return _Said(kind="died", text=f"process {rank + 1} of {len(processes)} died (exit code {code})")
    return said


def _raise(said: _Said) -> NoReturn:
    if said.kind == "memory":
        raise MemoryError(said.text)
    if said.kind == "input":
        raise InputError(said.text)
    raise RuntimeError(f"training on several devices failed: {said.text}")


def _train(part: _Part) -> Outcome | None:
    """Train one process's share; the first process evaluates."""
    import torch

    from mousterian.training.checkpoint import Checkpoint
    from mousterian.training.distributed import process_group
    from mousterian.trials.train_and_evaluate import observed, observers_of, outcome_of, task_of, trained

    device = torch.device(device_named(part.settings.device))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # The first alone writes checkpoints: the others have the same weights.
    every = None if part.rank == 0 else float("inf")
    kept = Checkpoint(part.checkpoint, part.trial.key, every)
    with process_group(part.rank, part.count, device, part.meeting) as group:
        images = images_of(part.trial, part.settings)
        task = task_of(part.trial, images, device, "eager")
        task = replace(task, checkpoint=kept, micro_batches=part.parts, group=group)
        observers = [] if part.rank else observers_of(part.trial, images, task.device)
        model, cost = trained(part.trial, images, observed(task, observers))
        return None if part.rank else outcome_of(part.trial, model, images, cost, observers)


def serve() -> None:
    """Be one of a trial's processes: hear what to do, do it, say what came of it."""
    connection = Connection(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the asking process answers, and ends this one if need be
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # by which Slurm tells that a job's time is over
    part: _Part = connection.recv()
    threading.Thread(target=_die_with_asker, args=(connection,), daemon=True).start()
    try:
        said = _Said(_train(part))
    except InputError as error:
        said = _Said(kind="input", text=str(error))
    except Exception as error:  # whatever a plug-in raises is this trial's failure
        text = traceback.format_exc(limit=-4).strip()
        memory = is_out_of_memory(error)
        said = _Said(kind="memory" if memory else "error", text=str(error) if memory else text)
    connection.send(said)


def _die_with_asker(connection: Connection) -> None:
    """End this process when the other end closes, where the kernel does not; nothing more is said there."""
    wait([connection])
    os._exit(1)
