"""A worker process of the local executor: runs jobs as they come, and ends when its supervisor does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from mousterian.errors import InputError
from mousterian.executors._jobs import Job
from mousterian.executors._orphan import die_with_parent
from mousterian.locks import TakenError
from mousterian.trial import Settings


@dataclass(frozen=True)
class Word:
    """What a worker says: what became of its job, or, first of all, whether it can work.

    Attributes:
        seconds: that the job took.
        error: what went wrong, or nothing.
        taken: another grid is running this trial.
    """

    seconds: float = 0.0
    error: str = ""
    taken: bool = False


def work(connection: Connection, settings: Settings) -> None:
    """Run jobs as they come until the supervisor is gone."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_supervisor, daemon=True).start()
    problem = _cannot_work(settings.device)
    try:
        connection.send(Word(error=problem))
        while not problem:
            connection.send(_run(connection.recv(), settings))
    except (EOFError, OSError):
        return  # the supervisor has gone


def _run(job: Job, settings: Settings) -> Word:
    started = time.perf_counter()
    try:
        job.execute(settings, wait=False)
    except TakenError:
        return Word(taken=True)
    except InputError as wrong:
        return Word(error=str(wrong))
    except Exception:  # whatever a plug-in raises is this trial's failure, not the grid's
        return Word(error=traceback.format_exc(limit=-4).strip())
    return Word(time.perf_counter() - started)


def _cannot_work(device: str) -> str:
    """Return why no trial can run in this process, or nothing."""
    try:
        import torch

        if device != "auto":
            torch.zeros(1, device=device)
    except ImportError as error:
        return f"{error}; install what training needs: pip install 'mousterian[train]'"
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        return f"the device {device!r} cannot be used ({reason}); --device takes auto, cpu, cuda, cuda:1, ..."
    return ""


def _die_with_supervisor() -> None:
    """End this process when the supervisor dies, should the fork server live on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
