"""The jobs that executors run: pools and trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mousterian.store.rows import Store
from mousterian.trials.identity import Trial
from mousterian.trials.images import make_pool
from mousterian.trials.multi_device import device_count
from mousterian.trials.rows import failed_row
from mousterian.trials.run import run_and_save
from mousterian.trials.settings import Settings


@dataclass(frozen=True)
class PoolJob:
    """Make the first `count` images of a trial's pool."""

    trial: Trial
    count: int
    key: str
    label: str
    needs: str = ""

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        """Make what is missing of the pool, unless another grid does so in the meantime.

        Args:
            settings: where it is made.
            wait: wait for another process that is making the same pool.

        Raises:
            LockTakenError: another process is making it, and `wait` is off.
        """
        with Store(settings.store).in_use():
            make_pool(self.trial, self.count, settings, wait=wait)

    def devices(self, settings: Settings) -> int:
        """Return how many devices the job uses."""
        return 1

    def record_failure(self, settings: Settings, error: str) -> None:
        """Record nothing: the error is recorded for the trials that need the pool."""


@dataclass(frozen=True)
class TrialJob:
    """Run one trial.

    Attributes:
        trial: the trial.
        key: its hash.
        label: the trial in a few words, for messages.
        needs: key of the pool job that it waits for, or empty.
        retry: run it even if it has diverged before.
    """

    trial: Trial
    key: str
    label: str
    needs: str = ""
    retry: bool = False

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        """Run the trial and write its rows to the store, unless another grid has done so in the meantime.

        Args:
            settings: where it runs.
            wait: wait for another grid that is running the same trial.

        Raises:
            LockTakenError: another grid is running it, and `wait` is off.
        """
        store = Store(settings.store)
        with store.claimed(self.key, wait=wait):
            if self.retry or not store.outcome(self.key):
                run_and_save(self.trial, settings)

    def devices(self, settings: Settings) -> int:
        """Return how many devices train the trial together."""
        return device_count(self.trial, settings)

    def record_failure(self, settings: Settings, error: str) -> None:
        """Write a row with the error, unless another grid has finished the trial."""
        store = Store(settings.store)
        if not store.outcome(self.key):
            store.write([failed_row(self.trial, settings.grid, error)])


Job = PoolJob | TrialJob

POOL_FAILED = "its pool could not be made"


def jobs_of(trials: Sequence[Trial], settings: Settings, *, retry: bool = False) -> list[Job]:
    """Return the jobs to run: missing pools first, then the longest trials, each with the pool it waits for.

    Args:
        trials: the trials to run.
        settings: where they run.
        retry: also run trials that have diverged before.
    """
    pools: dict[str, PoolJob] = {}
    for trial in trials:
        identity = trial.pool()
        if identity is None:
            continue
        key = trial.source_key
        known = pools.get(key)
        if known is None or known.count < trial.n_syn_plus:
            pools[key] = PoolJob(trial, trial.n_syn_plus, key, identity.label)
    longest = sorted(trials, key=lambda t: -(t.n_base + t.n_real_plus + t.n_syn_plus))
    return [
        *pools.values(),
        *(TrialJob(trial, trial.key, trial.label, trial.source_key, retry) for trial in longest),
    ]
