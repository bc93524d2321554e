"""Run trials on this machine: warm worker processes, one core (or the accelerator) each."""

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
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType

from mousterian.errors import InputError
from mousterian.executors._jobs import Job, Listener
from mousterian.trial import Settings

# What the fork server imports; it leaves out what cannot be imported, and workers then say so.
_PRELOAD = ["torch._dynamo", "mousterian.training.loop"]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run(jobs: Sequence[Job], settings: Settings, listener: Listener, *, workers: int = 0) -> None:
    """Run jobs on this machine, pools before the trials that need them.

    The first Ctrl-C lets running trials finish, the second stops them. Either raises KeyboardInterrupt.

    Args:
        jobs: what to run, in order of preference.
        settings: where trials run and where their rows go.
        listener: is told what becomes of each job.
        workers: processes; 0: one for each core, or one for an accelerator.
    """
    if not jobs:
        return
    count = min(len(jobs), workers or default_workers(settings.device))
    supervisor = _Supervisor(jobs, settings, listener, count)
    previous = signal.signal(signal.SIGINT, supervisor.interrupt)
    try:
        supervisor.run()
    finally:
        signal.signal(signal.SIGINT, previous)
        supervisor.close()
    if supervisor.stopping:
        raise KeyboardInterrupt


def default_workers(device: str) -> int:
    """Return how many processes suit a device: one for an accelerator, else one for each core."""
    accelerator = device not in {"auto", "cpu"} or (device == "auto" and Path("/dev/nvidia0").exists())
    return 1 if accelerator else len(os.sched_getaffinity(0))


@dataclass
class _Worker:
    process: ForkServerProcess
    connection: Connection
    ready: bool = False
    job: Job | None = None


class _Supervisor:
    """Hands jobs to workers, replaces workers that die, and knows which pools are ready."""

    def __init__(self, jobs: Sequence[Job], settings: Settings, listener: Listener, count: int) -> None:
        self._waiting = list(jobs)
        self._unready = {job.needs for job in jobs if job.needs}
        self._failed_pools: dict[str, str] = {}
        self._settings, self._listener = settings, listener
        # Threads of the numeric libraries are fixed when these are first loaded, so before workers start.
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
        # Workers are forked from one process that has imported torch and nothing else: the import (12 s on a
        # slow core, the compiler that plain optimisers pull in counted) is paid once, and a worker that
        # died is replaced at once.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOAD)
        self._workers = [self._start() for _ in range(count)]
        self.stopping = False

    def _start(self) -> _Worker:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there, self._settings), daemon=True)
        # Started with Ctrl-C ignored: that is the supervisor's to answer, also while a worker still imports.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, handler)
        there.close()
        return _Worker(process, here)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Stop after the running jobs; at the second call stop now."""
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping = True
        self._listener.stopping()

    def run(self) -> None:
        """Run until no job is left, or until the running ones are done when stopping.

        Raises:
            InputError: no worker can be started, for want of a package or of the device.
        """
        while True:
            if not self.stopping:
                self._hand_out()
            waited_for = [worker for worker in self._workers if worker.job or not worker.ready]
            if not any(worker.job for worker in waited_for) and (self.stopping or not self._waiting):
                return
            ready = wait([worker.connection for worker in waited_for], timeout=0.5)
            for worker in waited_for:
                if worker.connection in ready:
                    self._receive(worker)

    def _hand_out(self) -> None:
        for idle in [worker for worker in self._workers if worker.ready and not worker.job]:
            job = self._next()
            if job is None:
                return
            try:
                idle.connection.send(job)
            except OSError:  # it died while idle
                self._waiting.insert(0, job)
                self._replace(idle)
                continue
            idle.job = job
            self._listener.started(job)

    def _next(self) -> Job | None:
        """Take the first job that can run; those whose pool failed fail here."""
        index = 0
        while index < len(self._waiting):
            job = self._waiting[index]
            if job.needs in self._failed_pools:
                del self._waiting[index]
                self._fail(job, f"its pool could not be made: {self._failed_pools[job.needs]}")
            elif job.needs in self._unready:
                index += 1
            else:
                return self._waiting.pop(index)
        return None

    def _receive(self, worker: _Worker) -> None:
        try:
            seconds, error = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(5)
            seconds, error = 0.0, f"its worker process died (exit code {worker.process.exitcode})"
            if worker.ready:
                self._replace(worker)
        job, worker.job = worker.job, None
        if job is None:
            # A worker's first word: whether it can work at all. If not, nor could any other.
            if error:
                raise InputError(f"no trial can run here: {error}")
            worker.ready = True
            return
        self._unready.discard(job.key)
        if error:
            self._failed_pools[job.key] = error
            self._fail(job, error)
        else:
            self._listener.finished(job, seconds)

    def _fail(self, job: Job, error: str) -> None:
        job.keep_failure(self._settings, error)
        self._listener.failed(job, error)

    def _replace(self, worker: _Worker) -> None:
        self._workers[self._workers.index(worker)] = self._start()
        worker.connection.close()

    def close(self) -> None:
        """End all workers: idle ones leave by themselves, busy ones are killed."""
        for worker in self._workers:
            worker.connection.close()
            if worker.job:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join(2)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _work(connection: Connection, settings: Settings) -> None:
    """Run jobs as they come until the supervisor is gone. Runs in the worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_supervisor, daemon=True).start()
    problem = _cannot_work(settings.device)
    connection.send((0.0, problem))
    if problem:
        return
    while True:
        try:
            job: Job = connection.recv()
        except (EOFError, OSError):
            return
        started = time.perf_counter()
        error = ""
        try:
            job.execute(settings)
        except InputError as wrong:
            error = str(wrong)
        except Exception:  # whatever a plug-in raises is this trial's failure, not the grid's
            error = traceback.format_exc(limit=-4).strip()
        try:
            connection.send((time.perf_counter() - started, error))
        except OSError:
            return


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
    """End this process at once when the supervisor dies, however that happens, so that none is left over."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
