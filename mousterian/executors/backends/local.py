"""Run trials on this machine: warm worker processes, one core (or the accelerator) each."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from types import FrameType
from typing import Literal

from mousterian.errors import InputError
from mousterian.executors.backends._processes import STARTS, start
from mousterian.executors.backends._slots import Slot, device_of, end, side_by_side
from mousterian.executors.backends._worker import WorkerMessage, work
from mousterian.executors.jobs import POOL_FAILED, Job, PoolJob, TrialJob
from mousterian.executors.kinds import Listener
from mousterian.executors.workers import Sharing, accelerators
from mousterian.trials.settings import Settings

_POLL = 0.5  # seconds
_TAKEN_FOR = 2.0  # seconds after which a trial that another grid was running is looked at again


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
    On CPU rows are the same bit for bit, but for several devices in one trial: up to rounding. A trial of
    several devices takes as many workers' places.

    Args:
        jobs: what to run, in order of preference.
        settings: where trials run and where their rows go.
        listener: is told what becomes of each job.
        workers: processes, of which each has an accelerator by turns; 0: on CPU one a core; on accelerators
            one each at first, and up to 4 each as soon as the first seconds of work have shown how many
            the memory and the CPU cores suffice for.
        devices_per_trial: devices (on CPU: cores) that train one trial together; 0: as its recipe asks.
        acceleration: how steps are taken; auto: as a CUDA graph on CUDA, else eager.

    Raises:
        InputError: nothing can run here, or options contradict each other.
    """
    if not jobs:
        return
    if devices_per_trial < 0:
        raise InputError(
            f"devices_per_trial is 0 or more, not {devices_per_trial}", where="--executor-option"
        )
    settings = replace(settings, acceleration=acceleration, devices=devices_per_trial)
    supervisor = _Supervisor(jobs, settings, listener, workers)
    previous = signal.signal(signal.SIGINT, supervisor.interrupt)
    try:
        supervisor.run()
    finally:
        signal.signal(signal.SIGINT, previous)
        supervisor.close()
    if supervisor.stopping:
        raise KeyboardInterrupt


class _Supervisor:
    """Hands jobs to the workers in their slots, replaces workers that die, knows which pools are ready."""

    def __init__(self, jobs: Sequence[Job], settings: Settings, listener: Listener, asked: int) -> None:
        self._waiting = list(jobs)
        self._later: list[tuple[float, Job]] = []  # with the time from which on they may run
        self._unready = {job.needs for job in jobs if job.needs}
        self._failed_pools: dict[str, str] = {}
        self._deaths: set[str] = set()
        self._aside: list[Slot] = []
        self._retried: dict[str, Slot] = {}  # jobs that failed in a slot that was then set aside
        self._successes = 0
        self._settings, self._listener = settings, listener
        self._there = accelerators()
        apart = any(job.devices(settings) > 1 for job in jobs)
        self._sharing = Sharing(settings.device, asked, apart=apart)
        self._slots: list[Slot] = []
        self.stopping = False
        self._grow()

    def _grow(self) -> None:
        """Start the workers that fit, as long as there are jobs for them, and say how they share devices."""
        running = [slot.job for slot in self._slots if slot.job]
        left = [*running, *self._waiting, *(job for _, job in self._later)]
        most = min(self._sharing.most, sum(job.devices(self._settings) for job in left))
        first = 1 + max((slot.number for slot in [*self._slots, *self._aside]), default=-1)
        self._slots += [Slot(number, *self._start(number)) for number in range(first, most)]
        text = self._sharing.text(min(self._sharing.most, len(self._slots)))
        if text:
            self._listener.notice(text)

    def _start(self, number: int) -> tuple[ForkServerProcess, Connection]:
        device = device_of(number, self._settings.device, self._there)
        return start(work, replace(self._settings, device=device))

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
        self._retire()
        for slot in [slot for slot in self._slots if slot.idle]:
            if not slot.idle or not self._may_work(slot):
                continue
            job = self._next()
            if job is None:
                return
            places = side_by_side(slot, self._slots, job.devices(self._settings), self._there)
            if not places:  # until more have ended; those after it wait, too, or it would for ever
                self._waiting.insert(0, job)
                return
            self._hand(job, places)

    def _hand(self, job: Job, places: Sequence[Slot]) -> None:
        slot = places[0]
        try:
            slot.connection.send(job)
        except OSError:  # it died while idle
            self._waiting.insert(0, job)
            self._replace(slot)
            return
        slot.job = job
        for other in places[1:]:
            other.lender = slot
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

    def _receive(self, slot: Slot) -> None:
        try:
            word: WorkerMessage = slot.connection.recv()
        except (EOFError, OSError):
            self._died(slot)
            return
        if word.used:
            if self._sharing.uses(word.used) and not self.stopping:
                self._grow()
            return
        job, slot.job = slot.job, None
        if job is not None:
            self._conclude(slot, job, word)
            return
        if word.error:
            self._cannot_work(slot, word.error)
            return
        slot.ready, slot.false_starts = True, 0
        self._sharing.began(word.free)

    def _cannot_work(self, slot: Slot, error: str) -> None:
        """Give up: no other worker could work either, unless others had begun to work before this one."""
        if not self._sharing.can_miss(slot.number):
            raise InputError(f"no trial can run here: {error}")
        self._let_go(slot)
        self._listener.notice(f"a process less shares the device: {error}")

    def _let_go(self, slot: Slot) -> None:
        self._slots.remove(slot)
        end([slot])

    def _retire(self) -> None:
        """Let idle workers go that are more than fit."""
        for slot in [slot for slot in self._slots if slot.idle and slot.number >= self._sharing.most]:
            if len(self._slots) > 1:
                self._let_go(slot)

    def _conclude(self, slot: Slot, job: Job, word: WorkerMessage) -> None:
        if word.taken:
            self._postpone(job, _TAKEN_FOR)
        elif word.error:
            self._failed(slot, job, word.error)
        else:
            self._unready.discard(job.key)
            self._successes += 1
            slot.streak.ended()
            self._listener.finished(job, word.seconds)

    def _died(self, slot: Slot) -> None:
        """Replace a worker; its job has a second chance, as it may not have been to blame."""
        slot.process.join(5)
        error = f"its worker process died (exit code {slot.process.exitcode})"
        job, slot.job = slot.job, None
        if not slot.ready:
            slot.false_starts += 1
            if slot.false_starts >= STARTS:
                self._cannot_work(slot, f"a worker cannot start, {error}")
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
            end([slot])
            failed = slot.streak.jobs
            again = [job for job in failed if isinstance(job, TrialJob) and job.key not in self._retried]
            self._retried.update((job.key, slot) for job in again)
            self._waiting[:0] = again
            self._listener.notice(
                f"worker {slot.number} is set aside: {len(failed)} jobs in a row failed alike there while"
                f" others succeeded; {len(again)} of them run again elsewhere"
            )

    def _may_work(self, slot: Slot) -> bool:
        """Tell whether a slot gets a job; one that fails alike waits until another shows why."""
        others = (each for each in self._slots if each is not slot and each.job)
        return not slot.streak.is_long or all(each.streak.is_long for each in others)

    def _fail(self, job: Job, error: str) -> None:
        job.keep_failure(self._settings, error)
        self._listener.failed(job, error)

    def _replace(self, slot: Slot) -> None:
        slot.connection.close()
        slot.process, slot.connection = self._start(slot.number)
        slot.ready = False

    def close(self) -> None:
        """End all workers: idle ones leave by themselves, busy ones are killed."""
        end(self._slots)
