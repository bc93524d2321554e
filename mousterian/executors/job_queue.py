"""What executors beyond this machine share: jobs in order, a polite Ctrl-C, the work of one batch."""

from __future__ import annotations

import heapq
import os
import signal
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol

from mousterian.errors import InputError
from mousterian.executors.jobs import POOL_FAILED, Job, TrialJob
from mousterian.executors.kinds import Listener
from mousterian.store.rows import Store
from mousterian.trials.run import checkpoint_file, run_trial
from mousterian.trials.settings import Settings


class JobQueue:
    """Jobs in order of preference, each held back until the pool that it needs is there.

    Args:
        jobs: pools and trials; a job's `needs` is the key of the job that goes first.
        settings: where failures are kept.
        listener: is told of each end.
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
                self._enter(job)

    def __len__(self) -> int:
        """Return how many jobs could start now."""
        return len(self._ready)

    def take(self, most: int, *, one_pool: bool = False) -> list[Job]:
        """Return the next jobs that can run: one pool, or up to `most` trials (of one pool, if told so)."""
        taken: list[Job] = []
        while self._ready and len(taken) < most:
            following = self._ready[0][1]
            is_trial = isinstance(following, TrialJob)
            if taken and (not is_trial or (one_pool and following.needs != taken[0].needs)):
                break
            taken.append(heapq.heappop(self._ready)[1])
            if not is_trial:
                break
        return taken

    def put_back(self, job: Job) -> None:
        """Let a job that was lost run again, in its old place."""
        self.listener.postponed(job)
        self._enter(job)

    def _enter(self, job: Job) -> None:
        heapq.heappush(self._ready, (self._rank[job.key], job))

    def finished(self, job: Job, seconds: float) -> None:
        """Free what waited for a job, and tell."""
        for freed in self._blocked.pop(job.key, ()):
            self._enter(freed)
        self.listener.finished(job, seconds)

    def failed(self, job: Job, error: str) -> None:
        """Keep a failure, also as that of the trials whose pool this was, and tell."""
        job.keep_failure(self._settings, error)
        self.listener.failed(job, error)
        for doomed in self._blocked.pop(job.key, ()):
            self.failed(doomed, f"{POOL_FAILED}: {error}")


class Stop:
    """While entered, the first Ctrl-C sets `wanted` and tells the listener, the second interrupts."""

    def __init__(self, listener: Listener) -> None:
        self.wanted = False
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
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
        self._listener.stopping()


class Driver(Protocol):
    """What keeps a cluster busy."""

    def run(self, stop: Stop) -> None:
        """Run until nothing is left, or until what runs is done when a stop is wanted."""

    def close(self) -> None:
        """Stop what still runs."""


def drive(driver: Driver, listener: Listener) -> None:
    """Let a driver run, and leave nothing running however that ends.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed once, and what ran has ended, or twice.
    """
    with Stop(listener) as stop:
        try:
            driver.run(stop)
        finally:
            driver.close()
    if stop.wanted:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class JobResult:
    """What became of one job: an error or none, and its rows if they were not written where it ran."""

    key: str
    seconds: float
    error: str = ""
    rows: Sequence[Mapping[str, Any]] = field(default=())

    def conclude(self, job: Job, queue: JobQueue, store: Store) -> None:
        """Write the rows that came along, then tell the queue."""
        if self.error:
            queue.failed(job, self.error)
            return
        if self.rows:
            store.write(self.rows)
        queue.finished(job, self.seconds)


@dataclass(frozen=True)
class BatchSettings:
    """Where a batch runs: settings with absolute paths, the caller's folder, and who writes the rows."""

    settings: Settings
    folder: Path
    returns_rows: bool = False

    @classmethod
    def of(cls, settings: Settings, *, accelerated: bool, returns_rows: bool = False) -> BatchSettings:
        """Return the place for settings: paths that hold from any folder, a CPU if no device is reserved."""
        absolute = replace(
            settings,
            store=settings.store.resolve(),
            data_dir=settings.data_dir and settings.data_dir.resolve(),
            device="cpu" if settings.device == "auto" and not accelerated else settings.device,
        )
        return cls(absolute, Path.cwd(), returns_rows)

    def perform(self, jobs: Sequence[Job]) -> list[JobResult]:
        """Run jobs one after another in this process; whatever a job raises is its own failure."""
        if self.folder.is_dir():  # paths in options are relative to it
            os.chdir(self.folder)
        return [self._one(job) for job in jobs]

    def _one(self, job: Job) -> JobResult:
        started = time.perf_counter()
        rows: Sequence[Mapping[str, Any]] = ()
        error = ""
        try:
            if self.returns_rows and isinstance(job, TrialJob):
                rows = run_trial(job.trial, self.settings)
                checkpoint_file(job.trial, self.settings).unlink(missing_ok=True)
            else:
                job.execute(self.settings)
        except InputError as wrong:
            error = str(wrong)
        except Exception:  # whatever a plug-in raises is this trial's failure, not the grid's
            error = traceback.format_exc(limit=-4).strip()
        return JobResult(job.key, time.perf_counter() - started, error, rows)
