"""Run trials on this machine: warm worker processes, one core (or the accelerator) each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Literal

from mousterian.errors import InputError
from mousterian.executors.backends._processes import MAX_STARTS, start
from mousterian.executors.backends._slots import Slot, adjacent_slots, device_of, stop_workers
from mousterian.executors.backends._worker import WorkerMessage, work
from mousterian.executors.job_queue import JobQueue, Stop, drive
from mousterian.executors.jobs import Job, TrialJob
from mousterian.executors.kinds import Listener
from mousterian.executors.workers import Sharing, accelerators
from mousterian.trials.settings import Settings

_SECONDS_PER_POLL = 0.5
_SECONDS_TAKEN = 2.0  # after which a trial that another grid was running is tried again


def run(
    jobs: Sequence[Job],
    settings: Settings,
    listener: Listener,
    *,
    workers: int = 0,
    devices_per_trial: int = 0,
    acceleration: Literal["auto", "eager", "graph", "compile"] = "auto",
) -> None:
    """Run jobs on this machine, pools before the trials that need them.

    The first Ctrl-C lets running trials finish, the second stops them. Either raises KeyboardInterrupt.
    On CPU, rows are the same bit for bit, except up to rounding for trials on several devices, each of which
    takes the place of several workers.

    Args:
        jobs: jobs to run, in order of priority.
        settings: where trials run and where their rows go.
        listener: is notified of each job's progress.
        workers: processes, to which the accelerators are assigned in turn; 0: on CPU one per core; on
            accelerators at first one each, and up to 4 each once the first seconds of work have shown how
            many of them fit in memory and keep a CPU core each.
        devices_per_trial: devices (on CPU: cores) that train one trial together; 0: as its recipe asks.
        acceleration: how training steps run; auto: as a CUDA graph on CUDA, else eager.

    Raises:
        InputError: nothing can run here, or an option is invalid.
    """
    if not jobs:
        return
    if devices_per_trial < 0:
        raise InputError(
            f"devices_per_trial must be 0 or more, not {devices_per_trial}", where="--executor-option"
        )
    settings = replace(settings, acceleration=acceleration, devices=devices_per_trial)
    drive(_Supervisor(jobs, settings, listener, workers), listener)


class _Supervisor:
    """Assigns jobs to the workers in their slots, and replaces workers that die."""

    def __init__(self, jobs: Sequence[Job], settings: Settings, listener: Listener, workers: int) -> None:
        self._queue = JobQueue(jobs, settings, listener)
        self._later: list[tuple[float, Job]] = []  # with the time from when they may run
        self._deaths: set[str] = set()
        self._aside: list[Slot] = []
        self._retried: dict[str, Slot] = {}  # jobs that failed in a slot that was then set aside
        self._successes = 0
        self._settings, self._listener = settings, listener
        self._accelerators = accelerators()
        exclusive = any(job.devices(settings) > 1 for job in jobs)
        self._sharing = Sharing(settings.device, workers, exclusive=exclusive)
        self._slots: list[Slot] = []
        self._stopping = False
        self._grow()

    def _grow(self) -> None:
        """Start the workers that fit, if there are jobs for them, and report how they share devices."""
        running = [slot.job for slot in self._slots if slot.job]
        remaining = [*running, *self._queue.jobs(), *(job for _, job in self._later)]
        most = min(self._sharing.most, sum(job.devices(self._settings) for job in remaining))
        first = 1 + max((slot.number for slot in [*self._slots, *self._aside]), default=-1)
        self._slots += [Slot(number, *self._start(number)) for number in range(first, most)]
        notice = self._sharing.notice(min(self._sharing.most, len(self._slots)))
        if notice:
            self._listener.notice(notice)

    def _start(self, number: int) -> tuple[ForkServerProcess, Connection]:
        device = device_of(number, self._settings.device, self._accelerators)
        return start(work, replace(self._settings, device=device))

    def run(self, stop: Stop) -> None:
        """Run until no job is left, or when stopping until the running ones are done.

        Raises:
            InputError: no worker can be started, as a package or the device is missing.
        """
        while True:
            self._stopping = stop.requested
            if not self._stopping:
                self._assign_jobs()
            active = [slot for slot in self._slots if slot.job or not slot.ready]
            remaining = self._queue or self._later
            if not any(slot.job for slot in active) and (self._stopping or not remaining):
                return
            if not active:  # another grid is running all that remains
                time.sleep(_SECONDS_PER_POLL)
            ready = wait([slot.connection for slot in active], timeout=_SECONDS_PER_POLL)
            for slot in active:
                if slot.connection in ready:
                    self._receive(slot)

    def _assign_jobs(self) -> None:
        self._set_aside()
        self._stop_surplus()
        for slot in [slot for slot in self._slots if slot.idle]:
            if not slot.idle or not self._is_eligible(slot):
                continue
            job = self._next()
            if job is None:
                return
            slots = adjacent_slots(slot, self._slots, job.devices(self._settings), self._accelerators)
            if not slots:  # until more jobs have ended; later jobs wait, too, or this one might for ever
                self._queue.push(job)
                return
            self._assign(job, slots)

    def _assign(self, job: Job, slots: Sequence[Slot]) -> None:
        slot, *others = slots
        try:
            slot.connection.send(job)
        except OSError:  # it died while idle
            self._queue.push(job)
            self._replace(slot)
            return
        slot.job = job
        for other in others:
            other.borrower = slot
        self._listener.started(job)

    def _next(self) -> Job | None:
        """Take the first job that is ready to run."""
        now = time.monotonic()
        for job in [job for due, job in self._later if due <= now]:
            self._queue.push(job)
        self._later = [(due, job) for due, job in self._later if due > now]
        return next(iter(self._queue.take(1)), None)

    def _receive(self, slot: Slot) -> None:
        try:
            message: WorkerMessage = slot.connection.recv()
        except (EOFError, OSError):
            self._died(slot)
            return
        if message.used:
            if self._sharing.memory_used(message.used) and not self._stopping:
                self._grow()
            return
        job, slot.job = slot.job, None
        if job is not None:
            self._job_ended(slot, job, message)
            return
        if message.error:
            self._cannot_start(slot, message.error)
            return
        slot.ready, slot.failed_starts = True, 0
        self._sharing.worker_started(message.free)

    def _cannot_start(self, slot: Slot, error: str) -> None:
        """Give up, as no other worker could start either, unless others were running before this one."""
        if not self._sharing.is_optional(slot.number):
            raise InputError(f"no trial can run here: {error}")
        self._remove(slot)
        self._listener.notice(f"one process fewer shares the device: {error}")

    def _remove(self, slot: Slot) -> None:
        self._slots.remove(slot)
        stop_workers([slot])

    def _stop_surplus(self) -> None:
        """Stop idle workers beyond the number that fits."""
        for slot in [slot for slot in self._slots if slot.idle and slot.number >= self._sharing.most]:
            if len(self._slots) > 1:
                self._remove(slot)

    def _job_ended(self, slot: Slot, job: Job, message: WorkerMessage) -> None:
        if message.taken:
            self._postpone(job, _SECONDS_TAKEN)
        elif message.error:
            self._failed(slot, job, message.error)
        else:
            self._successes += 1
            slot.streak.reset()
            self._queue.finished(job, message.seconds)

    def _died(self, slot: Slot) -> None:
        """Replace a worker; its job runs once more, as it may not be the cause."""
        slot.process.join(5)
        error = f"its worker process died (exit code {slot.process.exitcode})"
        job, slot.job = slot.job, None
        if not slot.ready:
            slot.failed_starts += 1
            if slot.failed_starts >= MAX_STARTS:
                self._cannot_start(slot, f"a worker cannot start, {error}")
                return
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

    def _failed(self, slot: Slot, job: Job, error: str) -> None:
        """Record a failure; it may reinstate a slot that was set aside after it failed at the same job."""
        slot.streak.failed(job, error, self._successes)
        suspect = self._retried.get(job.key)
        if suspect in self._aside and suspect.streak.kind == slot.streak.kind:
            self._aside.remove(suspect)
            self._replace(suspect)
            suspect.streak.reset()
            self._slots.append(suspect)
            self._listener.notice(f"worker {suspect.number} is reinstated: the job failed elsewhere, too")
        self._queue.failed(job, error)

    def _set_aside(self) -> None:
        """Stop slots that keep failing while others succeed; their jobs go first and run elsewhere."""
        for slot in [each for each in self._slots if each.streak.is_at_fault(self._successes)]:
            if slot.job or len(self._slots) == 1:
                continue
            self._slots.remove(slot)
            self._aside.append(slot)
            stop_workers([slot])
            failed = slot.streak.jobs
            again = [job for job in failed if isinstance(job, TrialJob) and job.key not in self._retried]
            self._retried.update((job.key, slot) for job in again)
            for job in again:
                self._queue.push(job)
            self._listener.notice(
                f"worker {slot.number} is set aside: {len(failed)} jobs in a row failed there with the same"
                f" error while others succeeded; {len(again)} of them run again elsewhere"
            )

    def _is_eligible(self, slot: Slot) -> bool:
        """Return whether a slot gets a job; one that fails repeatedly waits for the result of another."""
        others = (each for each in self._slots if each is not slot and each.job)
        return not slot.streak.is_long or all(each.streak.is_long for each in others)

    def _replace(self, slot: Slot) -> None:
        slot.connection.close()
        slot.process, slot.connection = self._start(slot.number)
        slot.ready = False

    def close(self) -> None:
        """Stop all workers."""
        stop_workers(self._slots)
