"""A worker process of the local executor: runs jobs as they come, and ends when its supervisor does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from mousterian.errors import InputError
from mousterian.executors.jobs import Job
from mousterian.executors.workers import is_accelerated
from mousterian.files import LockTakenError
from mousterian.training.device import device_named
from mousterian.trials.child_process import die_with_parent
from mousterian.trials.settings import Settings

_EVERY = 1.0  # seconds between two readings of the memory that this process uses
_CALM = 3  # readings without a change after which a use is worth telling


@dataclass(frozen=True)
class WorkerMessage:
    """What a worker says: first of all whether it can work; what became of its job; the memory that it uses.

    Attributes:
        seconds: that the job took.
        error: what went wrong, or nothing.
        taken: another grid is running this trial.
        free: bytes that were free on the CUDA device when this worker began; 0: it has none.
        used: bytes that torch has reserved there for this process at most; not 0: the word says only this.
    """

    seconds: float = 0.0
    error: str = ""
    taken: bool = False
    free: int = 0
    used: int = 0


def work(connection: Connection, settings: Settings) -> None:
    """Run jobs as they come until the supervisor is gone."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_supervisor, daemon=True).start()
    speaking = threading.Lock()

    def say(word: WorkerMessage) -> None:
        with speaking:
            connection.send(word)

    first = _first_word(settings.device)
    try:
        say(first)
        if first.free:
            threading.Thread(target=_watch_memory, args=(say, settings.device), daemon=True).start()
        while not first.error:
            say(_run(connection.recv(), settings))
    except (EOFError, OSError):
        return  # the supervisor has gone


def _run(job: Job, settings: Settings) -> WorkerMessage:
    """Run a job and return a word about it."""
    started = time.perf_counter()
    ended: Exception | None = None
    try:
        job.execute(settings, wait=False)
    except Exception as error:  # whatever a plug-in raises is this trial's failure, not the grid's
        ended = error
    return _word(ended, time.perf_counter() - started)


def _word(error: Exception | None, seconds: float) -> WorkerMessage:
    if error is None:
        return WorkerMessage(seconds)
    if isinstance(error, LockTakenError):
        return WorkerMessage(taken=True)
    if isinstance(error, InputError):
        return WorkerMessage(error=str(error))
    return WorkerMessage(error="".join(traceback.format_exception(error, limit=-4)).strip())


def _first_word(device: str) -> WorkerMessage:
    """Return why no trial can run in this process, or how much memory its device has for it."""
    try:
        import torch

        if device != "auto":
            torch.zeros(1, device=device)
        if not is_accelerated(device) or not torch.cuda.is_available():
            return WorkerMessage()
        named = torch.device(device_named(device))
        return WorkerMessage(free=torch.cuda.mem_get_info(named)[0] if named.type == "cuda" else 0)
    except ImportError as error:
        return WorkerMessage(error=f"{error}; install what training needs: pip install 'mousterian[train]'")
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        wrong = f"the device {device!r} cannot be used ({reason})"
        return WorkerMessage(error=f"{wrong}; --device takes auto, cpu, cuda, cuda:1, ...")


def _watch_memory(say: Callable[[WorkerMessage], None], device: str) -> None:
    """Say how much memory this process uses on its device, each time that it has grown and settled.

    It asks torch's own counters alone: a call of CUDA from here would break a capture that is going on.
    """
    import torch

    number = torch.device(device_named(device)).index or 0
    said = before = calm = 0
    while True:
        time.sleep(_EVERY)
        used = torch.cuda.max_memory_reserved(number)
        calm = calm + 1 if used == before else 0
        before = used
        if calm >= _CALM and used > said:
            said = used
            try:
                say(WorkerMessage(used=used))
            except OSError:
                return  # the supervisor has gone


def _die_with_supervisor() -> None:
    """End this process when the supervisor dies, should the fork server live on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
