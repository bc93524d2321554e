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
from mousterian.executors._jobs import POOL_FAILED, Job, Listener, PoolJob, TrialJob
from mousterian.executors._processes import STARTS, start
from mousterian.executors._slots import Slot, accelerators, device_of, end, side_by_side
from mousterian.executors._together import Asked, Way, choose_way
from mousterian.executors._worker import Word, work
from mousterian.together import shape_of
from mousterian.trial import Settings

_POLL = 0.5  # seconds
_TAKEN_FOR = 2.0  # seconds after which a trial that another grid was running is looked at again


def run(
    jobs: Sequence[Job],
    settings: Settings,
    listener: Listener,
    *,
    workers: int = 0,
    together: Literal["auto", "one", "processes", "streams", "fused"] = "auto",
    trials_at_once: int = 0,
    devices_per_trial: int = 0,
    acceleration: Literal["auto", "eager", "graph", "compile"] = "auto",
) -> None:
    """Run jobs on this machine, pools before the trials that need them.

    The first Ctrl-C lets running trials finish, the second stops them. Either raises KeyboardInterrupt.
    On CPU, one and processes give the same rows bit for bit; streams, fused and several devices in one trial
    up to rounding. A trial of several devices takes as many workers' places.

    Args:
        jobs: what to run, in order of preference.
        settings: where trials run and where their rows go.
        listener: is told what becomes of each job.
        workers: processes, of which each has an accelerator by turns; 0: as many as suit `together`.
        together: how trials share the device. one: one after another; processes: each in its own; streams: in
            threads of one process, with a CUDA stream each; fused: those of one shape as one stacked model;
            auto: on CPU a process a core, on an accelerator what a short measurement finds fastest (kept in
            the store's folder; none for a few trials or where `workers` is given).
        trials_at_once: trials of a streams or fused group, or processes; 0: what suits.
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
    way = choose_way(jobs, settings, listener, Asked(together, workers, trials_at_once))
    settings = replace(settings, together=way.name)
    supervisor = _Supervisor(jobs, settings, listener, way)
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

    def __init__(self, jobs: Sequence[Job], settings: Settings, listener: Listener, way: Way) -> None:
        self._waiting = list(jobs)
        self._later: list[tuple[float, Job]] = []  # with the time from which on they may run
        self._unready = {job.needs for job in jobs if job.needs}
        self._failed_pools: dict[str, str] = {}
        self._deaths: set[str] = set()
        self._shapes: dict[str, str] = {}
        self._aside: list[Slot] = []
        self._retried: dict[str, Slot] = {}  # jobs that failed in a slot that was then set aside
        self._successes = 0
        self._settings, self._listener, self._way = settings, listener, way
        self._there = accelerators()
        most = min(way.processes, sum(job.devices(settings) for job in jobs))
        self._slots = [Slot(number, *self._start(number)) for number in range(most)]
        self.stopping = False

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
            waited_for = [slot for slot in self._slots if slot.jobs or not slot.ready]
            left = self._waiting or self._later
            if not any(slot.jobs for slot in waited_for) and (self.stopping or not left):
                return
            if not waited_for:  # all that is left is being run by another grid
                time.sleep(_POLL)
            ready = wait([slot.connection for slot in waited_for], timeout=_POLL)
            for slot in waited_for:
                if slot.connection in ready:
                    self._receive(slot)

    def _hand_out(self) -> None:
        self._set_aside()
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
        jobs, slot = [job, *self._beside(job)], places[0]
        try:
            slot.connection.send(jobs)
        except OSError:  # it died while idle
            self._waiting[:0] = jobs
            self._replace(slot)
            return
        slot.jobs = jobs
        for other in places[1:]:
            other.lender = slot
        for each in jobs:
            self._listener.started(each)

    def _beside(self, job: Job) -> list[Job]:
        """Take the waiting trials that train at once with one; what its worker died of runs alone."""
        if self._way.at_once < 2 or not isinstance(job, TrialJob) or job.key in self._deaths:
            return []
        if job.devices(self._settings) > 1:
            return []
        shape = self._shape(job)
        found = [
            each
            for each in self._waiting
            if isinstance(each, TrialJob)
            and each.needs not in self._unready
            and each.needs not in self._failed_pools
            and each.key not in self._deaths
            and self._shape(each) == shape
        ][: self._way.at_once - 1]
        taken = {each.key for each in found}
        self._waiting = [each for each in self._waiting if each.key not in taken]
        return [*found]

    def _shape(self, job: TrialJob) -> str:
        if job.key not in self._shapes:
            self._shapes[job.key] = shape_of(job.trial)
        return self._shapes[job.key]

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
            words: list[Word] = slot.connection.recv()
        except (EOFError, OSError):
            self._died(slot)
            return
        jobs, slot.jobs = slot.jobs, []
        if not jobs:
            # A worker's first word: whether it can work at all. If not, nor could any other.
            if words[0].error:
                raise InputError(f"no trial can run here: {words[0].error}")
            slot.ready, slot.false_starts = True, 0
        for job, word in zip(jobs, words, strict=False):
            self._conclude(slot, job, word)

    def _conclude(self, slot: Slot, job: Job, word: Word) -> None:
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
        """Replace a worker; its jobs have a second chance, as they may not have been to blame."""
        slot.process.join(5)
        error = f"its worker process died (exit code {slot.process.exitcode})"
        jobs, slot.jobs = slot.jobs, []
        if not slot.ready:
            slot.false_starts += 1
            if slot.false_starts >= STARTS:
                raise InputError(f"no trial can run here: a worker cannot start, {error}")
        self._replace(slot)
        for job in jobs:
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
            if slot.jobs or len(self._slots) == 1:
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
        others = (each for each in self._slots if each is not slot and each.jobs)
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
