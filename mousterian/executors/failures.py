"""Failures that are alike: the grid that stops when everything fails, the slot that is set aside."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mousterian.executors.jobs import POOL_FAILED, Job, TrialJob
from mousterian.executors.kinds import Listener

ALIKE_AT_START = 5  # so many first trials that all fail alike stop the grid
ALIKE_IN_A_SLOT = 3  # so many in a row set a slot aside, if others succeed meanwhile
_VARYING = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")


class GaveUpError(Exception):
    """The grid was stopped because everything failed alike; the text says how."""


def kind_of(error: str) -> str:
    """Return what errors that are alike have in common: their last line without its numbers."""
    lines = error.strip().splitlines()
    # An input error has its hint on a line of its own, which says less than its first line.
    telling = lines[-1] if lines and lines[0].startswith("Traceback") else "".join(lines[:1])
    return _VARYING.sub("#", telling)


class GivesUp:
    """Passes everything on to a listener, and stops the grid when its first trials all fail alike.

    Trials that fail because their pool could not be made do not count: they were never run.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._kinds: list[str] | None = []

    def started(self, job: Job) -> None:
        """A job has begun."""
        self._listener.started(job)

    def postponed(self, job: Job) -> None:
        """A job will be begun again."""
        self._listener.postponed(job)

    def notice(self, text: str) -> None:
        """Something happened that a person should know."""
        self._listener.notice(text)

    def stopping(self) -> None:
        """No more jobs are started."""
        self._listener.stopping()

    def finished(self, job: Job, seconds: float) -> None:
        """A job is done; after the first trial there is hope."""
        if isinstance(job, TrialJob):
            self._kinds = None
        self._listener.finished(job, seconds)

    def failed(self, job: Job, error: str) -> None:
        """A job failed.

        Raises:
            GaveUpError: so have all trials so far, and all alike.
        """
        self._listener.failed(job, error)
        if self._kinds is None or not isinstance(job, TrialJob) or error.startswith(POOL_FAILED):
            return
        self._kinds.append(kind_of(error))
        if len(self._kinds) >= ALIKE_AT_START and len(set(self._kinds)) == 1:
            reason = error.strip().splitlines()[-1 if error.startswith("Traceback") else 0]
            raise GaveUpError(
                f"the first {len(self._kinds)} trials all failed alike: {reason}\n"
                "  mend it and run this again with --retry-failed, or go on regardless with --keep-going"
            )


@dataclass
class Streak:
    """The failures in a row of one slot.

    Attributes:
        kind: what they have in common.
        jobs: whose they are.
        successes: of all slots when the first one failed.
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
        """Whether so many jobs failed alike that the slot itself may be at fault."""
        return len(self.jobs) >= ALIKE_IN_A_SLOT

    def is_at_fault(self, successes: int) -> bool:
        """Tell whether the slot seems at fault, as others succeeded meanwhile."""
        return self.is_long and successes > self.successes

    def ended(self) -> None:
        """Forget the failures: a job succeeded."""
        self.jobs = []
