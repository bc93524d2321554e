"""What executors run (pools and trials), and whom they tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mousterian.devices import devices_asked
from mousterian.rows import failed_row
from mousterian.store import Store
from mousterian.supply import make_pool
from mousterian.trial import Settings, Trial, run_and_keep


@dataclass(frozen=True)
class PoolJob:
    """Make the first `count` images of a trial's pool."""

    trial: Trial
    count: int
    key: str
    label: str
    needs: str = ""

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        """Make what is missing of the pool, unless another grid does so meanwhile.

        Args:
            settings: where it is made.
            wait: for another process that is making this very pool.

        Raises:
            TakenError: another process is making it, and `wait` is off.
        """
        with Store(settings.store).in_use():
            make_pool(self.trial, self.count, settings, wait=wait)

    def devices(self, settings: Settings) -> int:
        """Return how many devices the job takes at once."""
        return 1

    def keep_failure(self, settings: Settings, error: str) -> None:
        """Keep nothing: the trials that need the pool keep the error."""


@dataclass(frozen=True)
class TrialJob:
    """Run one trial.

    Attributes:
        trial: the trial.
        key: its hash.
        label: what a person calls it.
        needs: key of the pool job that goes first, or empty.
        again: run it although it has diverged before.
    """

    trial: Trial
    key: str
    label: str
    needs: str = ""
    again: bool = False

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        """Run the trial and write its rows to the store, unless another grid has done so meanwhile.

        Args:
            settings: where it runs.
            wait: for another grid that is running this very trial.

        Raises:
            TakenError: another grid is running it, and `wait` is off.
        """
        store = Store(settings.store)
        with store.claimed(self.key, wait=wait):
            if self.again or not store.outcome(self.key):
                run_and_keep(self.trial, settings)

    def devices(self, settings: Settings) -> int:
        """Return how many devices train the trial together."""
        return devices_asked(self.trial, settings)

    def keep_failure(self, settings: Settings, error: str) -> None:
        """Write a row that says what went wrong, unless another grid has brought the trial to an end."""
        store = Store(settings.store)
        if not store.outcome(self.key):
            store.write([failed_row(self.trial, settings.grid, error)])


Job = PoolJob | TrialJob

POOL_FAILED = "its pool could not be made"


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
