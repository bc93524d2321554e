"""Slurm jobs through submitit: what one runs, how long it may take, and how arrays of them are submitted."""

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

from mousterian.errors import InputError
from mousterian.executors.job_queue import BatchSettings, JobResult
from mousterian.executors.jobs import Job, TrialJob
from mousterian.trials.settings import Settings

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
SECONDS_TO_START = 300.0  # imports, and data from a cold network disk
SECONDS_TO_END = 5.0  # for a process of this machine that was killed
SECONDS_UNKNOWN = 4 * 3600.0  # for a pool whose generator cannot tell its time
SECONDS_A_BATCH = 1800.0  # long beside the wait in the queue, short beside usual time limits
TIME_OUTS = 10  # after which a job is not requeued any more


@dataclass(frozen=True)
class Batch:
    """What one job runs: trials one after another, or one pool. Called by submitit in the job."""

    place: BatchSettings
    jobs: tuple[Job, ...]

    def __call__(self) -> list[JobResult]:
        """Run the batch; what an earlier run of this job has finished is found in the store."""
        return self.place.perform(self.jobs)

    def checkpoint(self) -> Any:
        """Tell submitit, before a time limit or a preemption, what to requeue: the same batch."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass(frozen=True)
class Outlook:
    """How long jobs take.

    Attributes:
        seconds: of trials and pools by their keys; empty where nothing was estimated.
        minutes: time limit that was asked for, 0 for the estimate.
        safety: factor on the estimate.
        trials: in a batch, if that was asked for, else 0.
    """

    seconds: Mapping[str, float | None]
    minutes: int
    safety: float
    trials: int

    @classmethod
    def of(
        cls, jobs: Sequence[Job], settings: Settings, *, minutes: int, safety: float, trials: int
    ) -> Outlook:
        """Estimate where the time limit or the size of a batch has to follow from it.

        Raises:
            InputError: trials cannot be tried out here.
        """
        if minutes and trials:
            return cls({}, minutes, safety, trials)
        from mousterian.trials.time_estimate import estimate

        new = {job.key: job.trial for job in jobs if isinstance(job, TrialJob)}
        try:
            cost = estimate(list(new.values()), new, settings)
        except (RuntimeError, AssertionError, ImportError) as error:
            raise InputError(
                f"the time of trials cannot be estimated here ({str(error).partition(chr(10))[0]})",
                hint="--executor-option time=MINUTES and trials_per_job=COUNT do without the estimate",
            ) from error
        return cls({**cost.by_trial, **cost.by_pool}, minutes, safety, trials)

    def batch_size(self, left: int, at_once: int) -> int:
        """Return how many trials one job runs, so that those left are shared by all jobs at once."""
        if self.trials:
            return self.trials
        known = [seconds for seconds in self.seconds.values() if seconds]
        mean = sum(known) / len(known) if known else SECONDS_A_BATCH
        return max(1, min(int(SECONDS_A_BATCH / mean), ceil(left / at_once)))

    def limit(self, batches: Sequence[Sequence[Job]]) -> int:
        """Return the time limit of the array that runs these batches, minutes."""
        return self.minutes or ceil((SECONDS_TO_START + self.safety * max(map(self._of, batches))) / 60)

    def _of(self, batch: Sequence[Job]) -> float:
        seconds = [self.seconds.get(job.key, 0.0) for job in batch]
        return sum(SECONDS_UNKNOWN if each is None else each for each in seconds)


@dataclass(frozen=True)
class Wanted:
    """What each job wants of the cluster, as the executor's options name it."""

    partition: str
    account: str
    cpus_per_task: int
    gpus_per_task: int
    memory_gb: float
    directives: Sequence[str]
    setup: Sequence[str]

    def of(self, grid: str, at_a_time: int) -> dict[str, Any]:
        """Return submitit's parameters for the jobs of a grid, those that were not given left out.

        Raises:
            InputError: a directive has no name or no value.
        """
        parameters = {
            "name": f"mousterian-{grid}",
            "cpus_per_task": self.cpus_per_task,
            "mem_gb": self.memory_gb,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_gpus_per_task": self.gpus_per_task,
            "slurm_array_parallelism": at_a_time,
            "slurm_setup": [*(f"export {name}={value}" for name, value in THREADS.items()), *self.setup],
            "slurm_additional_parameters": dict(map(_pair, self.directives)),
        }
        return {name: value for name, value in parameters.items() if value}


def _pair(directive: str) -> tuple[str, str]:
    """Return the name and the value of one of sbatch's directives."""
    name, equals, value = directive.lstrip("-").partition("=")
    if not (name and equals and value):
        raise InputError(
            f"a directive is NAME=VALUE, as in directives='[\"qos=long\"]', not {directive!r}",
            where="--executor-option",
        )
    return name, value


def check_devices(jobs: Sequence[Job], settings: Settings, cpus: int, gpus: int) -> None:
    """Refuse trials whose recipe asks for more devices than a job has: devices, or on CPU cores.

    Raises:
        InputError: there is such a trial.
    """
    asked = max(job.devices(settings) for job in jobs)
    option, there = ("gpus_per_task", gpus) if gpus else ("cpus_per_task", cpus)
    if asked > there:
        raise InputError(
            f"a recipe asks for {asked} devices, and a job has {option}={there}",
            where="--executor-option",
            hint=f"--executor-option {option}={asked}",
        )


class Submitter:
    """Submits batches as arrays.

    Args:
        cluster: slurm, or local for processes of this machine.
        folder: for submitit's scripts, logs and pickles; on a disk that every node sees.
        parameters: submitit's, those of Slurm with its prefix.

    Raises:
        InputError: submitit is not installed, or there is no Slurm here.
    """

    def __init__(self, cluster: str, folder: Path, parameters: Mapping[str, Any]) -> None:
        try:
            import submitit
        except ImportError as error:
            raise InputError(
                f"the executor 'slurm' needs the package {error.name!r}",
                hint="pip install 'mousterian[slurm]'",
            ) from None
        self._folder = folder
        try:
            self._executor = submitit.AutoExecutor(folder, cluster, slurm_max_num_timeout=TIME_OUTS)
        except RuntimeError as error:
            raise InputError(
                f"there is no Slurm here ({error})",
                hint="run this on a login node, or try it out with --executor-option cluster=local",
            ) from None
        self._executor.update_parameters(**parameters)

    def submit(self, batches: Sequence[Batch], minutes: int) -> list[Any]:
        """Submit one array; return submitit's handle of each batch.

        Raises:
            InputError: Slurm refuses it.
        """
        from submitit.core.utils import FailedJobError

        self._executor.update_parameters(timeout_min=minutes)
        try:
            with _for_children():
                found: list[Any] = self._executor.submit_array(batches)
        except (FailedJobError, subprocess.CalledProcessError, OSError) as error:
            told = str(getattr(error, "output", "") or error).strip()
            raise InputError(f"the jobs cannot be submitted: {told}", where="sbatch") from error
        return found

    def take_back(self, handles: Sequence[Any], *, look: bool) -> list[Any]:
        """Cancel those jobs that wait in the queue, and return them.

        Args:
            handles: of jobs.
            look: ask Slurm how they are; submitit remembers its last answer for up to ten minutes.
        """
        if look and handles:
            handles[0].get_info(mode="force")  # one question for all of them
        waiting = [handle for handle in handles if handle.state == "PENDING"]
        if waiting:
            # One that begins just now is let run.
            command = ["scancel", "--state=PENDING", *(handle.job_id for handle in waiting)]
            subprocess.run(command, check=False, capture_output=True)
        return waiting

    def cancel(self, handle: Any) -> None:
        """Cancel a job; on this machine by killing its processes, which ignore Ctrl-C."""
        if self._executor.cluster == "slurm":
            handle.cancel(check=False)
            return
        controller = int(handle.job_id)
        with suppress(OSError):
            children = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
            for process in [controller, *map(int, children)]:
                os.kill(process, signal.SIGKILL)
            deadline = time.monotonic() + SECONDS_TO_END
            while not handle.done() and time.monotonic() < deadline:  # which reaps it
                time.sleep(0.01)

    def tidy(self, handle: Any) -> None:
        """Delete the files of a job that is done."""
        for path in self._folder.glob(f"{handle.job_id}_*"):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # others still have files in it
            self._folder.rmdir()


@contextmanager
def _for_children() -> Iterator[None]:
    """Start processes with one thread, and with Ctrl-C ignored: that is this process's to answer."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(THREADS)
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
