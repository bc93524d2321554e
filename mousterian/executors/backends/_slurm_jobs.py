"""Slurm jobs through submitit: what a job runs, its time limit, and how arrays of jobs are submitted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from mousterian.errors import InputError, first_line, missing_package
from mousterian.executors.job_queue import BatchSettings, JobResult
from mousterian.executors.jobs import Job, TrialJob
from mousterian.executors.workers import ONE_THREAD
from mousterian.trials.settings import Settings

SECONDS_TO_START = 300.0  # imports, and data from a cold network disk
SECONDS_TO_END = 5.0  # for a process of this machine that was killed
SECONDS_UNKNOWN = 4 * 3600.0  # for a pool whose time cannot be estimated
SECONDS_PER_BATCH = 1800.0  # long compared with the wait in the queue, short compared with usual time limits
MAX_TIMEOUTS = 10  # after which a job is not requeued any more


@dataclass(frozen=True)
class Batch:
    """What one job runs: trials one after another, or one pool. Called by submitit in the job."""

    settings: BatchSettings
    jobs: tuple[Job, ...]

    def __call__(self) -> list[JobResult]:
        """Run the batch; what an earlier run of this job finished is found in the store."""
        return self.settings.run(self.jobs)

    def checkpoint(self) -> Any:
        """Return what submitit requeues at a time limit or a preemption: the same batch."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(frozen=True)
class TimeBudget:
    """The size of batches and their time limits, from the estimated time of jobs.

    Attributes:
        seconds: estimated time of trials and pools by key; empty if nothing was estimated.
        minutes: time limit that was requested; 0: from the estimate.
        safety: factor on the estimate.
        trials: number of trials in a batch that was requested; 0: from the estimate.
    """

    seconds: Mapping[str, float | None]
    minutes: int
    safety: float
    trials: int

    @classmethod
    def of(
        cls, jobs: Sequence[Job], settings: Settings, *, minutes: int, safety: float, trials: int
    ) -> TimeBudget:
        """Estimate the time of jobs, unless both the time limit and the size of a batch are given.

        Raises:
            InputError: no pilot can run here.
        """
        if minutes and trials:
            return cls({}, minutes, safety, trials)
        from mousterian.trials.time_estimate import estimate

        new = {job.key: job.trial for job in jobs if isinstance(job, TrialJob)}
        try:
            cost = estimate(list(new.values()), new, settings)
        except (RuntimeError, AssertionError, ImportError) as error:
            raise InputError(
                f"the time of trials cannot be estimated here ({first_line(error)})",
                hint="--executor-option time=MINUTES and trials_per_job=COUNT need no estimate",
            ) from error
        return cls({**cost.by_trial, **cost.by_pool}, minutes, safety, trials)

    def batch_size(self, remaining: int, concurrent: int) -> int:
        """Return how many trials one job runs, so that the remaining ones keep all concurrent jobs busy."""
        if self.trials:
            return self.trials
        known = [seconds for seconds in self.seconds.values() if seconds]
        mean = sum(known) / len(known) if known else SECONDS_PER_BATCH
        return max(1, min(int(SECONDS_PER_BATCH / mean), ceil(remaining / concurrent)))

    def limit(self, batches: Sequence[Sequence[Job]]) -> int:
        """Return the time limit in minutes of the array that runs these batches."""
        return self.minutes or ceil((SECONDS_TO_START + self.safety * max(map(self._seconds, batches))) / 60)

    def _seconds(self, batch: Sequence[Job]) -> float:
        seconds = [self.seconds.get(job.key, 0.0) for job in batch]
        return sum(SECONDS_UNKNOWN if each is None else each for each in seconds)


def directive_pair(directive: str) -> tuple[str, str]:
    """Return the name and the value of an sbatch directive.

    Raises:
        InputError: it has no name or no value.
    """
    name, equals, value = directive.lstrip("-").partition("=")
    if not (name and equals and value):
        raise InputError(
            f"a directive is NAME=VALUE, as in directives='[\"qos=long\"]', not {directive!r}",
            where="--executor-option",
        )
    return name, value


def check_devices(jobs: Sequence[Job], settings: Settings, cpus: int, gpus: int) -> None:
    """Refuse trials whose recipe asks for more devices than a job has: GPUs, or on the CPU cores.

    Raises:
        InputError: there is such a trial.
    """
    needed = max(job.devices(settings) for job in jobs)
    option, available = ("gpus_per_task", gpus) if gpus else ("cpus_per_task", cpus)
    if needed > available:
        raise InputError(
            f"a recipe asks for {needed} devices, and a job has {option}={available}",
            where="--executor-option",
            hint=f"--executor-option {option}={needed}",
        )


class Submitter:
    """Submits batches as arrays.

    Args:
        cluster: slurm, or local for processes of this machine.
        folder: folder of submitit's scripts, logs and pickles, on a disk that every node sees.
        parameters: submitit's parameters, those of Slurm with its prefix; 0 and empty ones are left out.

    Raises:
        InputError: submitit is not installed, or there is no Slurm here.
    """

    def __init__(self, cluster: str, folder: Path, parameters: Mapping[str, Any]) -> None:
        try:
            import submitit
        except ImportError as error:
            raise missing_package("the executor 'slurm'", error.name or "submitit", "slurm") from None
        self._folder = folder
        try:
            self._executor = submitit.AutoExecutor(folder, cluster, slurm_max_num_timeout=MAX_TIMEOUTS)
        except RuntimeError as error:
            raise InputError(
                f"there is no Slurm here ({error})",
                hint="run this on a login node, or try it with --executor-option cluster=local",
            ) from None
        self._executor.update_parameters(**{name: value for name, value in parameters.items() if value})

    def submit(self, batches: Sequence[Batch], minutes: int) -> list[Any]:
        """Submit one array and return submitit's handle of each batch.

        Raises:
            InputError: Slurm refuses the array.
        """
        from submitit.core.utils import FailedJobError

        self._executor.update_parameters(timeout_min=minutes)
        try:
            with _child_environment():
                found: list[Any] = self._executor.submit_array(batches)
        except (FailedJobError, subprocess.CalledProcessError, OSError) as error:
            reason = str(getattr(error, "output", "") or error).strip()
            raise InputError(f"the jobs cannot be submitted: {reason}", where="sbatch") from error
        return found

    def cancel_pending(self, handles: Sequence[Any], *, refresh: bool) -> list[Any]:
        """Cancel the jobs that wait in Slurm's queue, and return them.

        Args:
            handles: handles of jobs.
            refresh: ask Slurm for their states; submitit caches its last answer for up to ten minutes.
        """
        if refresh and handles:
            handles[0].get_info(mode="force")  # one query for all of them
        waiting = [handle for handle in handles if handle.state == "PENDING"]
        if waiting:
            # A job that has just started is left running.
            command = ["scancel", "--state=PENDING", *(handle.job_id for handle in waiting)]
            subprocess.run(command, check=False, capture_output=True)
        return waiting

    def cancel(self, handle: Any) -> None:
        """Cancel a job; on this machine, by killing its processes, which ignore Ctrl-C."""
        if self._executor.cluster == "slurm":
            handle.cancel(check=False)
            return
        controller = int(handle.job_id)
        with suppress(OSError):
            children = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
            for process in [controller, *map(int, children)]:
                os.kill(process, signal.SIGKILL)
            deadline = time.monotonic() + SECONDS_TO_END
            while not handle.done() and time.monotonic() < deadline:  # done() reaps it
                time.sleep(0.01)

    def delete_files(self, handle: Any) -> None:
        """Delete submitit's files of a job that is done."""
        for path in self._folder.glob(f"{handle.job_id}_*"):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # other jobs still have files in it
            self._folder.rmdir()


@contextmanager
def _child_environment() -> Iterator[None]:
    """Start processes with one thread, and with Ctrl-C ignored: this process handles it."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
