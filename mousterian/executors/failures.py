"""Identical failures: they stop a grid at its start, and set aside a slot of this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mousterian.executors.jobs import POOL_FAILED, Job, TrialJob
from mousterian.executors.kinds import Listener

IDENTICAL_AT_START = 5  # that many first trials with the same error stop the grid
IDENTICAL_IN_SLOT = 3  # that many in a row set a slot aside, if others succeed in the meantime
_VARYING = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")


class IdenticalFailuresError(Exception):
    """The first trials of a grid all failed with the same error, which the message quotes."""


def kind_of(error: str) -> str:
    """Return the kind of an error: its message without the numbers in it."""
    return _VARYING.sub("#", _message(error))


def _message(error: str) -> str:
    """Return the message of an error: the last line of a traceback, the first of what may end in a hint."""
    lines = error.strip().splitlines() or [""]
    return lines[-1 if lines[0].startswith("Traceback") else 0]


class StopOnIdenticalFailures:
    """Forwards everything to a listener, and stops the grid when its first trials all fail with one error.

    Trials that fail because their pool could not be made do not count: they were never run.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._kinds: list[str] | None = []

    def started(self, job: Job) -> None:
        """A job has started."""
        self._listener.started(job)

    def postponed(self, job: Job) -> None:
        """A job will be started again."""
        self._listener.postponed(job)

    def notice(self, text: str) -> None:
        """Something happened that the user should know."""
        self._listener.notice(text)

    def stopping(self) -> None:
        """No more jobs are started."""
        self._listener.stopping()

    def finished(self, job: Job, seconds: float) -> None:
        """A job is done; one successful trial ends the check."""
        if isinstance(job, TrialJob):
            self._kinds = None
        self._listener.finished(job, seconds)

    def failed(self, job: Job, error: str) -> None:
        """A job failed.

        Raises:
            IdenticalFailuresError: all trials so far have failed with this error.
        """
        self._listener.failed(job, error)
        if self._kinds is None or not isinstance(job, TrialJob) or error.startswith(POOL_FAILED):
            return
        self._kinds.append(kind_of(error))
        if len(self._kinds) >= IDENTICAL_AT_START and len(set(self._kinds)) == 1:
            raise IdenticalFailuresError(
                f"the first {len(self._kinds)} trials all failed with the same error: {_message(error)}\n"
                "  fix it and run this again with --retry-failed, or continue regardless with --keep-going"
            )


@dataclass
class Streak:
    """Consecutive failures of one kind in one slot.

    Attributes:
        kind: kind of the error.
        jobs: the jobs that failed.
        successes: successful jobs of all slots before the first failure.
    """

    kind: str = ""
    jobs: list[Job] = field(default_factory=list)
    successes: int = 0

    def failed(self, job: Job, error: str, successes: int) -> None:
        """Add a failure."""
        kind = kind_of(error)
        if kind != self.kind or not self.jobs:
            self.kind, self.jobs, self.successes = kind, [], successes
        self.jobs.append(job)

    @property
    def is_long(self) -> bool:
        """Whether enough jobs failed with the same error for the slot itself to be at fault."""
        return len(self.jobs) >= IDENTICAL_IN_SLOT

    def is_at_fault(self, successes: int) -> bool:
        """Return whether the slot seems at fault, as others succeeded in the meantime."""
        return self.is_long and successes > self.successes

    def reset(self) -> None:
        """Forget the failures: a job succeeded."""
        self.jobs = []
