"""Run trials on this machine: warm worker processes, one core (or the accelerator) each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType

from mousterian.errors import InputError
from mousterian.executors._failures import Streak
from mousterian.executors._jobs import POOL_FAILED, Job, Listener, PoolJob, TrialJob
from mousterian.executors._orphan import SUPERVISOR
from mousterian.executors._worker import Word, work
from mousterian.trial import Settings

# What the fork server imports; it leaves out what cannot be imported, and workers then say so.
_PRELOAD = ["mousterian.executors._orphan", "torch._dynamo", "mousterian.training.loop"]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_STARTS = 5  # of a worker that dies before it can work
_POLL = 0.5  # seconds
_TAKEN_FOR = 2.0  # seconds after which a trial that another grid was running is looked at again


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


@dataclass(eq=False)
class _Slot:
    """A place for one worker process; the process may be replaced, what is known of the slot stays."""

    number: int
    process: ForkServerProcess
    connection: Connection
    ready: bool = False
    job: Job | None = None
    false_starts: int = 0
    streak: Streak = field(default_factory=Streak)


class _Supervisor:
    """Hands jobs to the workers in their slots, replaces workers that die, knows which pools are ready."""

    def __init__(self, jobs: Sequence[Job], settings: Settings, listener: Listener, count: int) -> None:
        self._waiting = list(jobs)
        self._later: list[tuple[float, Job]] = []  # with the time from which on they may run
        self._unready = {job.needs for job in jobs if job.needs}
        self._failed_pools: dict[str, str] = {}
        self._deaths: set[str] = set()
        self._aside: list[_Slot] = []
        self._retried: dict[str, _Slot] = {}  # jobs that failed in a slot that was then set aside
        self._successes = 0
        self._settings, self._listener = settings, listener
        # Threads of the numeric libraries are fixed when these are first loaded, so before workers start.
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
        # Workers are forked from one process that has imported torch and nothing else: the import (12 s on a
        # slow core, the compiler that plain optimisers pull in counted) is paid once, and a worker that
        # died is replaced at once.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOAD)
        self._slots = [_Slot(number, *self._start()) for number in range(count)]
        self.stopping = False

    def _start(self) -> tuple[ForkServerProcess, Connection]:
        """Start a worker process; the fork server is started anew if it was killed."""
        for _ in range(_STARTS):
            here, there = self._context.Pipe()
            process = self._context.Process(target=work, args=(there, self._settings), daemon=True)
            # Started with Ctrl-C ignored: that is the supervisor's to answer, also while workers import.
            handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.environ[SUPERVISOR] = str(os.getpid())
            try:
                process.start()
            except (OSError, EOFError):  # the fork server died just now
                here.close()
                time.sleep(0.1)
                continue
            finally:
                del os.environ[SUPERVISOR]
                signal.signal(signal.SIGINT, handler)
                there.close()
            return process, here
        raise InputError(
            "no worker process can be started", hint="the machine may be out of memory or processes"
        )

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
            waited_for = [slot for slot in self._slots if slot.job or not slot.ready]
            left = self._waiting or self._later
            if not any(slot.job for slot in waited_for) and (self.stopping or not left):
                return
            if not waited_for:  # all that is left is being run by another grid
                time.sleep(_POLL)
            ready = wait([slot.connection for slot in waited_for], timeout=_POLL)
            for slot in waited_for:
                if slot.connection in ready:
                    self._receive(slot)

    def _hand_out(self) -> None:
        self._set_aside()
        for idle in [slot for slot in self._slots if slot.ready and not slot.job]:
            if not self._may_work(idle):
                continue
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
        now = time.monotonic()
        self._waiting += [job for due, job in self._later if due <= now]
        self._later = [(due, job) for due, job in self._later if due > now]
        index = 0
        while index < len(self._waiting):
            job = self._waiting[index]
            if job.needs in self._failed_pools:
                del self._waiting[index]
                self._fail(job, f"{POOL_FAILED}: {self._failed_pools[job.needs]}")
            elif job.needs in self._unready:
                index += 1
            else:
                return self._waiting.pop(index)
        return None

    def _receive(self, slot: _Slot) -> None:
        try:
            word: Word = slot.connection.recv()
        except (EOFError, OSError):
            self._died(slot)
            return
        job, slot.job = slot.job, None
        if job is None:
            # A worker's first word: whether it can work at all. If not, nor could any other.
            if word.error:
                raise InputError(f"no trial can run here: {word.error}")
            slot.ready, slot.false_starts = True, 0
        elif word.taken:
            self._postpone(job, _TAKEN_FOR)
        elif word.error:
            self._failed(slot, job, word.error)
        else:
            self._unready.discard(job.key)
            self._successes += 1
            slot.streak.ended()
            self._listener.finished(job, word.seconds)

    def _died(self, slot: _Slot) -> None:
        """Replace a worker; its job has a second chance, as it may not have been to blame."""
        slot.process.join(5)
        error = f"its worker process died (exit code {slot.process.exitcode})"
        job, slot.job = slot.job, None
        if not slot.ready:
            slot.false_starts += 1
            if slot.false_starts >= _STARTS:
                raise InputError(f"no trial can run here: a worker cannot start, {error}")
        self._replace(slot)
        if job is None:
            return
        if job.key not in self._deaths:
            self._deaths.add(job.key)
            self._postpone(job, 0.0)
        else:
            self._failed(slot, job, error)

    def _postpone(self, job: Job, seconds: float) -> None:
        self._later.append((time.monotonic() + seconds, job))
        self._listener.postponed(job)

    def _failed(self, slot: _Slot, job: Job, error: str) -> None:
        """Keep a failure; it may clear a slot that was set aside for failing at the same job."""
        self._unready.discard(job.key)
        if isinstance(job, PoolJob):
            self._failed_pools[job.key] = error
        slot.streak.failed(job, error, self._successes)
        accused = self._retried.get(job.key)
        if accused in self._aside and accused.streak.kind == slot.streak.kind:
            self._aside.remove(accused)
            self._replace(accused)
            accused.streak.ended()
            self._slots.append(accused)
            self._listener.notice(f"worker {accused.number} works again: the same job failed elsewhere too")
        self._fail(job, error)

    def _set_aside(self) -> None:
        """Stop slots that fail alike while others succeed; their jobs run again elsewhere, before all."""
        for slot in [each for each in self._slots if each.streak.is_at_fault(self._successes)]:
            if slot.job or len(self._slots) == 1:
                continue
            self._slots.remove(slot)
            self._aside.append(slot)
            self._end([slot])
            jobs = slot.streak.jobs
            again = [job for job in jobs if isinstance(job, TrialJob) and job.key not in self._retried]
            self._retried.update((job.key, slot) for job in again)
            self._waiting[:0] = again
            self._listener.notice(
                f"worker {slot.number} is set aside: {len(jobs)} jobs in a row failed alike there while"
                f" others succeeded; {len(again)} of them run again elsewhere"
            )

    def _may_work(self, slot: _Slot) -> bool:
        """Tell whether a slot gets a job; one that fails alike waits until another shows why."""
        others = (each for each in self._slots if each is not slot and each.job)
        return not slot.streak.is_long or all(each.streak.is_long for each in others)

    def _fail(self, job: Job, error: str) -> None:
        job.keep_failure(self._settings, error)
        self._listener.failed(job, error)

    def _replace(self, slot: _Slot) -> None:
        slot.connection.close()
        slot.process, slot.connection = self._start()
        slot.ready = False

    def close(self) -> None:
        """End all workers: idle ones leave by themselves, busy ones are killed."""
        self._end(self._slots)

    @staticmethod
    def _end(slots: Sequence[_Slot]) -> None:
        for slot in slots:
            slot.connection.close()
            if slot.job:
                slot.process.kill()
        for slot in slots:
            slot.process.join(2)
            if slot.process.is_alive():
                slot.process.kill()
                slot.process.join()
