"""A worker process of the local executor: runs jobs as it receives them, and ends with its supervisor."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from mousterian.errors import described, first_line
from mousterian.executors.jobs import Job
from mousterian.executors.workers import is_accelerated
from mousterian.files import LockTakenError
from mousterian.training.device import device_named
from mousterian.trials.child_process import die_with_parent
from mousterian.trials.settings import Settings

_SECONDS_PER_READING = 1.0  # of the memory that this process uses
_STABLE_READINGS = 3  # unchanged readings after which the use is reported


@dataclass(frozen=True)
class WorkerMessage:
    """A message from a worker: at first whether it can work, then the result of a job or its use of memory.

    Attributes:
        seconds: time that the job took.
        error: the error, or empty.
        taken: another grid is running this trial.
        free: bytes that were free on the CUDA device when this worker started; 0: it has none.
        used: peak bytes that torch has reserved there for this process; if not 0, the message is only this.
    """

    seconds: float = 0.0
    error: str = ""
    taken: bool = False
    free: int = 0
    used: int = 0


def work(connection: Connection, settings: Settings) -> None:
    """Run jobs as they are received until the supervisor is gone."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_supervisor, daemon=True).start()
    sending = threading.Lock()

    def send(message: WorkerMessage) -> None:
        with sending:
            connection.send(message)

    startup = _startup_message(settings.device)
    try:
        send(startup)
        if startup.free:
            threading.Thread(target=_watch_memory, args=(send, settings.device), daemon=True).start()
        while not startup.error:
            send(_run(connection.recv(), settings))
    except (EOFError, OSError):
        return  # the supervisor has gone


def _run(job: Job, settings: Settings) -> WorkerMessage:
    """Run a job and return its result."""
    started = time.perf_counter()
    try:
        job.execute(settings, wait=False)
    except LockTakenError:
        return WorkerMessage(taken=True)
    except Exception as error:  # whatever a plug-in raises is this trial's failure, not the grid's
        return WorkerMessage(error=described(error))
    return WorkerMessage(time.perf_counter() - started)


def _startup_message(device: str) -> WorkerMessage:
    """Return why no trial can run in this process, or the free memory of its device."""
    try:
        import torch

        if device != "auto":
            torch.zeros(1, device=device)
        if not is_accelerated(device) or not torch.cuda.is_available():
            return WorkerMessage()
        named = torch.device(device_named(device))
        return WorkerMessage(free=torch.cuda.mem_get_info(named)[0] if named.type == "cuda" else 0)
    except ImportError as error:
        return WorkerMessage(
            error=f"{error}; install the training dependencies: pip install 'mousterian[train]'"
        )
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        problem = f"the device {device!r} cannot be used ({first_line(error)})"
        return WorkerMessage(error=f"{problem}; --device takes auto, cpu, cuda, cuda:1, ...")


def _watch_memory(send: Callable[[WorkerMessage], None], device: str) -> None:
    """Report the memory that this process uses on its device, whenever it has grown and is stable again.

    This only reads torch's own counters: a CUDA call from this thread would break a graph capture.
    """
    import torch

    number = torch.device(device_named(device)).index or 0
    reported = previous = stable = 0
    while True:
        time.sleep(_SECONDS_PER_READING)
        used = torch.cuda.max_memory_reserved(number)
        stable = stable + 1 if used == previous else 0
        previous = used
        if stable >= _STABLE_READINGS and used > reported:
            reported = used
            try:
                send(WorkerMessage(used=used))
            except OSError:
                return  # the supervisor has gone


def _exit_with_supervisor() -> None:
    """End this process when the supervisor dies, even if the fork server survives."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
