"""What executors run (pools and trials), and whom they tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mousterian.store.rows import Store
from mousterian.trials.identity import Trial
from mousterian.trials.images import make_pool
from mousterian.trials.multi_device import devices_asked
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
        """Make what is missing of the pool, unless another grid does so meanwhile.

        Args:
            settings: where it is made.
            wait: for another process that is making this very pool.

        Raises:
            LockTakenError: another process is making it, and `wait` is off.
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
            LockTakenError: another grid is running it, and `wait` is off.
        """
        store = Store(settings.store)
        with store.claimed(self.key, wait=wait):
            if self.again or not store.outcome(self.key):
                run_and_save(self.trial, settings)

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


def jobs_of(trials: Sequence[Trial], settings: Settings, *, again: bool = False) -> list[Job]:
    """Return what has to run: missing pools first, longest trials next, each with what it waits for.

    Args:
        trials: to run.
        settings: where they run.
        again: run those too that have diverged before.
    """
    pools: dict[str, PoolJob] = {}
    for trial in trials:
        identity = trial.pool()
        if identity is None:
            continue
        key = trial.source_key
        held = pools.get(key)
        if held is None or held.count < trial.n_syn_plus:
            pools[key] = PoolJob(trial, trial.n_syn_plus, key, identity.label)
    longest = sorted(trials, key=lambda t: -(t.n_base + t.n_real_plus + t.n_syn_plus))
    return [
        *pools.values(),
        *(TrialJob(trial, trial.key, trial.label, _needs(trial, pools), again) for trial in longest),
    ]


def _needs(trial: Trial, pools: Mapping[str, PoolJob]) -> str:
    return trial.source_key if trial.source_key in pools else ""
