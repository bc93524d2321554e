"""What an executor plug-in's module has, and what it reports to while it works; ours are in `backends/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mousterian.executors.jobs import Job
from mousterian.plugins.kinds import plugin_kind
from mousterian.trials.settings import Settings


class Listener(Protocol):
    """Receives what happens to each job."""

    def started(self, job: Job) -> None:
        """A job has begun."""

    def finished(self, job: Job, seconds: float) -> None:
        """A job is done and its result is on disk."""

    def failed(self, job: Job, error: str) -> None:
        """A job failed; a trial's failure is in the store."""

    def postponed(self, job: Job) -> None:
        """A job that had begun will be started again: another grid has it, or its worker died."""

    def notice(self, text: str) -> None:
        """Something happened that a person should know."""

    def stopping(self) -> None:
        """No more jobs are started; those that run are waited for."""


@plugin_kind("executors", folder="backends")
class ExecutorPlugin(Protocol):
    """A place where trials run: this machine, a cluster."""

    def run(
        self, jobs: Sequence[Job], settings: Settings, listener: Listener, /, *args: Any, **options: Any
    ) -> None:
        """Run all jobs and return when each has ended; every finished or failed one is then in the store.

        A job is run by `job.execute(settings)`, in any process and on any machine that sees the store. A job
        whose `needs` is the key of another waits for that one, and fails if it failed. A failed job leaves
        its error by `job.record_failure(settings, error)`.

        Args:
            jobs: what to run, in order of preference.
            settings: store, data folder and device.
            listener: is called at each job's start and end.
            options: the plug-in's own. It must have `workers: int`, the number of jobs that run at a time;
                0 for as many as suit.

        Raises:
            InputError: nothing can run here.
            KeyboardInterrupt: the user stopped it; what was running has ended.
        """
        ...
