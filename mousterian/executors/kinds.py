"""What an executor reports to while it works."""

from __future__ import annotations

from typing import Protocol

from mousterian.executors.jobs import Job


class Listener(Protocol):
    """Is told what becomes of each job."""

    def started(self, job: Job) -> None:
        """A job has begun."""

    def finished(self, job: Job, seconds: float) -> None:
        """A job is done and what it made is on disk."""

    def failed(self, job: Job, error: str) -> None:
        """A job failed; a trial's failure is in the store."""

    def postponed(self, job: Job) -> None:
        """A job that had begun will be begun again: another grid has it, or its worker died."""

    def notice(self, text: str) -> None:
        """Something happened that a person should know."""

    def stopping(self) -> None:
        """No more jobs are started; those that run are waited for."""
