"""What executors run (pools and trials), and whom they tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mousterian.store import Store
from mousterian.trial import Settings, Trial, failed_row, make_pool, run_and_keep


@dataclass(frozen=True)
class PoolJob:
    """Make the first `count` images of a trial's pool."""

    trial: Trial
    count: int
    key: str
    label: str
    needs: str = ""

    def execute(self, settings: Settings) -> None:
        """Make what is missing of the pool."""
        make_pool(self.trial, self.count, settings)

    def keep_failure(self, settings: Settings, error: str) -> None:
        """Keep nothing: the trials that need the pool keep the error."""


@dataclass(frozen=True)
class TrialJob:
    """Run one trial; `needs` is the key of the pool job that goes first, or empty."""

    trial: Trial
    key: str
    label: str
    needs: str = ""

    def execute(self, settings: Settings) -> None:
        """Run the trial and write its rows to the store."""
        run_and_keep(self.trial, settings)

    def keep_failure(self, settings: Settings, error: str) -> None:
        """Write a row that says what went wrong."""
        Store(settings.store).write([failed_row(self.trial, settings, error)])


Job = PoolJob | TrialJob


class Listener(Protocol):
    """Is told what becomes of each job."""

    def started(self, job: Job) -> None:
        """A job has begun."""

    def finished(self, job: Job, seconds: float) -> None:
        """A job is done and what it made is on disk."""

    def failed(self, job: Job, error: str) -> None:
        """A job failed; a trial's failure is in the store."""

    def stopping(self) -> None:
        """No more jobs are started; those that run are waited for."""
