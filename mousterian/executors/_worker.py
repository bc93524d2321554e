"""A worker process of the local executor: runs jobs as they come, and ends when its supervisor does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from mousterian.errors import InputError
from mousterian.executors._jobs import Job, TrialJob, execute_together
from mousterian.locks import TakenError
from mousterian.orphan import die_with_parent
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
        connection.send([Word(error=problem)])
        while not problem:
            connection.send(_run(connection.recv(), settings))
    except (EOFError, OSError):
        return  # the supervisor has gone


def _run(jobs: Sequence[Job], settings: Settings) -> list[Word]:
    """Run a job, or trials of one shape at once, and return a word about each."""
    started = time.perf_counter()
    trials = [job for job in jobs if isinstance(job, TrialJob)]
    ended: list[Exception | None] = [None] * len(jobs)
    try:
        if len(jobs) == 1:
            jobs[0].execute(settings, wait=False)
        else:
            ended = execute_together(trials, settings)
    except Exception as error:  # whatever a plug-in raises is this trial's failure, not the grid's
        ended = [error] * len(jobs)
    seconds = (time.perf_counter() - started) / len(jobs)
    return [_word(error, seconds) for error in ended]


def _word(error: Exception | None, seconds: float) -> Word:
    if error is None:
        return Word(seconds)
    if isinstance(error, TakenError):
        return Word(taken=True)
    if isinstance(error, InputError):
        return Word(error=str(error))
    return Word(error="".join(traceback.format_exception(error, limit=-4)).strip())


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
