"""What executors share: a queue of jobs and stopping on Ctrl-C; for clusters, running a batch of jobs."""

from __future__ import annotations

import heapq
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol

from mousterian.errors import described
from mousterian.executors.jobs import POOL_FAILED, Job, TrialJob
from mousterian.executors.kinds import Listener
from mousterian.store.rows import Store
from mousterian.trials.run import checkpoint_file, run_trial
from mousterian.trials.settings import Settings


class JobQueue:
    """Jobs in order of priority, each held back until its pool is made.

    Args:
        jobs: pools and trials; a job's `needs` is the key of the job that it waits for.
        settings: where failures are recorded.
        listener: is notified when a job ends.
    """

    def __init__(self, jobs: Sequence[Job], settings: Settings, listener: Listener) -> None:
        self._settings, self.listener = settings, listener
        self._rank = {job.key: number for number, job in enumerate(jobs)}
        keys = set(self._rank)
        self._ready: list[tuple[int, Job]] = []
        self._blocked: dict[str, list[Job]] = {}
        for job in jobs:
            if job.needs in keys:
                self._blocked.setdefault(job.needs, []).append(job)
            else:
                self.push(job)

    def __len__(self) -> int:
        """Return how many jobs are ready to run."""
        return len(self._ready)

    def jobs(self) -> list[Job]:
        """Return all jobs that are not taken, also those that wait for their pool."""
        return [*(job for _, job in self._ready), *chain.from_iterable(self._blocked.values())]

    def take(self, most: int, *, one_pool: bool = False) -> list[Job]:
        """Return the next jobs to run: one pool, or up to `most` trials (of the same pool, if `one_pool`)."""
        taken: list[Job] = []
        while self._ready and len(taken) < most:
            upcoming = self._ready[0][1]
            is_trial = isinstance(upcoming, TrialJob)
            if taken and (not is_trial or (one_pool and upcoming.needs != taken[0].needs)):
                break
            taken.append(heapq.heappop(self._ready)[1])
            if not is_trial:
                break
        return taken

    def put_back(self, job: Job) -> None:
        """Queue a lost job again, at its old position."""
        self.listener.postponed(job)
        self.push(job)

    def push(self, job: Job) -> None:
        """Queue a job that is ready to run."""
        heapq.heappush(self._ready, (self._rank[job.key], job))

    def finished(self, job: Job, seconds: float) -> None:
        """Release the jobs that waited for this one, and notify the listener."""
        for waiting in self._blocked.pop(job.key, ()):
            self.push(waiting)
        self.listener.finished(job, seconds)

    def failed(self, job: Job, error: str) -> None:
        """Record a failure, also for the trials that need this pool, and notify the listener."""
        job.record_failure(self._settings, error)
        self.listener.failed(job, error)
        for waiting in self._blocked.pop(job.key, ()):
            self.failed(waiting, f"{POOL_FAILED}: {error}")


class Stop:
    """While entered, the first Ctrl-C sets `requested` and notifies the listener, the second interrupts."""

    def __init__(self, listener: Listener) -> None:
        self.requested = False
        self._listener = listener
        self._previous: Any = None

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._listener.stopping()


class Driver(Protocol):
    """Starts jobs and collects their results."""

    def run(self, stop: Stop) -> None:
        """Run until no job is left, or after a requested stop until the running ones are done."""

    def close(self) -> None:
        """Cancel what still runs."""


def drive(driver: Driver, listener: Listener) -> None:
    """Run a driver; nothing is left running however it ends.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed once and the running jobs have ended, or it was pressed twice.
    """
    with Stop(listener) as stop:
        try:
            driver.run(stop)
        finally:
            driver.close()
    if stop.requested:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class JobResult:
    """The result of a job: its error, if any, and its rows if they were not written where it ran."""

    seconds: float
    error: str = ""
    rows: Sequence[Mapping[str, Any]] = field(default=())

    def record(self, job: Job, queue: JobQueue, store: Store) -> None:
        """Write the rows that it carries, then notify the queue."""
        if self.error:
            queue.failed(job, self.error)
            return
        if self.rows:
            store.write(self.rows)
        queue.finished(job, self.seconds)


@dataclass(frozen=True)
class BatchSettings:
    """Where a batch runs: settings with absolute paths, the caller's folder, whether rows are returned."""

    settings: Settings
    folder: Path
    returns_rows: bool = False

    @classmethod
    def of(cls, settings: Settings, *, accelerated: bool, returns_rows: bool = False) -> BatchSettings:
        """Return settings for a batch: absolute paths, and the CPU if no device is reserved."""
        absolute = replace(
            settings,
            store=settings.store.resolve(),
            data_dir=settings.data_dir and settings.data_dir.resolve(),
            device="cpu" if settings.device == "auto" and not accelerated else settings.device,
        )
        return cls(absolute, Path.cwd(), returns_rows)

    def run(self, jobs: Sequence[Job]) -> list[JobResult]:
        """Run jobs one after another in this process; an exception fails its own job alone."""
        if self.folder.is_dir():  # paths in options are relative to it
            os.chdir(self.folder)
        return [self._run(job) for job in jobs]

    def _run(self, job: Job) -> JobResult:
        started = time.perf_counter()
        rows: Sequence[Mapping[str, Any]] = ()
        error = ""
        try:
            if self.returns_rows and isinstance(job, TrialJob):
                rows = run_trial(job.trial, self.settings)
                checkpoint_file(job.trial, self.settings).unlink(missing_ok=True)
            else:
                job.execute(self.settings)
        except Exception as raised:  # whatever a plug-in raises is this trial's failure, not the grid's
            error = described(raised)
        return JobResult(time.perf_counter() - started, error, rows)
