"""Run trials on a Slurm cluster, as arrays of jobs of many trials each, submitted with submitit."""

from __future__ import annotations

import os
import time as clock
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from mousterian.errors import InputError
from mousterian.executors.backends._slurm_jobs import (
    Batch,
    Submitter,
    TimeBudget,
    check_devices,
    directive_pair,
)
from mousterian.executors.job_queue import BatchSettings, JobQueue, JobResult, Stop, drive
from mousterian.executors.jobs import Job, TrialJob
from mousterian.executors.kinds import Listener
from mousterian.executors.workers import ONE_THREAD
from mousterian.store.rows import Store
from mousterian.trials.settings import Settings

CONCURRENT_JOBS = 256  # of one array
JOBS_PER_ARRAY = 1000  # Slurm's default limit is 1001
SECONDS_PER_POLL = 1.0


def run(
    jobs: Sequence[Job],
    settings: Settings,
    listener: Listener,
    *,
    workers: int = 0,
    cluster: Literal["slurm", "local"] = "slurm",
    partition: str = "",
    account: str = "",
    time: int = 0,
    safety: float = 2.0,
    trials_per_job: int = 0,
    cpus_per_task: int = 1,
    gpus_per_task: int = 0,
    memory_gb: float = 0.0,
    max_retries: int = 2,
    directives: tuple[str, ...] = (),
    setup: tuple[str, ...] = (),
) -> None:
    """Run trials on a Slurm cluster, as arrays of jobs of many trials each.

    A job that reaches its time limit, or is preempted, is requeued and continues where it stopped. The first
    Ctrl-C cancels what waits in the queue and lets running jobs finish, the second cancels them too; either
    raises KeyboardInterrupt. If this process is killed, the jobs continue and write their rows.

    Args:
        jobs: jobs to run, in order of priority.
        settings: where trials run and where their rows go; every node must see the store's folder.
        listener: is notified of each job's progress.
        workers: jobs of an array that run at a time; 0: 256, or one for each core on `local`.
        cluster: slurm; or local, for a test with processes of this machine.
        partition: Slurm's --partition.
        account: Slurm's --account.
        time: Slurm's --time, minutes; 0: from the estimate.
        safety: factor on the estimated time.
        trials_per_job: trials that one job runs one after another; 0: half an hour of them, by the estimate.
        cpus_per_task: Slurm's --cpus-per-task.
        gpus_per_task: Slurm's --gpus-per-task; more than one train each trial together.
        memory_gb: Slurm's --mem, GB; 0: the cluster's default.
        max_retries: how often a trial whose job was lost is submitted again.
        directives: further sbatch directives, such as ["qos=long", "constraint=a100"].
        setup: shell commands that each job runs before its trials, such as ["module load cuda"].

    Raises:
        InputError: submitit is not installed, there is no Slurm, or an option is invalid.
    """
    if not jobs:
        return
    _check(cpus_per_task, safety, (time, trials_per_job, gpus_per_task, memory_gb, max_retries))
    local = cluster == "local"
    concurrent = workers or (len(os.sched_getaffinity(0)) if local else CONCURRENT_JOBS)
    settings = replace(settings, devices=gpus_per_task if gpus_per_task > 1 else settings.devices)
    check_devices(jobs, settings, cpus_per_task, gpus_per_task)
    in_jobs = BatchSettings.of(settings, accelerated=gpus_per_task > 0)
    parameters = {
        "name": f"mousterian-{settings.grid}",
        "cpus_per_task": cpus_per_task,
        "mem_gb": memory_gb,
        "slurm_partition": partition,
        "slurm_account": account,
        "slurm_gpus_per_task": gpus_per_task,
        "slurm_array_parallelism": concurrent,
        "slurm_setup": [*(f"export {name}={value}" for name, value in ONE_THREAD.items()), *setup],
        "slurm_additional_parameters": dict(map(directive_pair, directives)),
    }
    submitter = Submitter(cluster, in_jobs.settings.store / "slurm", parameters)
    budget = TimeBudget.of(jobs, settings, minutes=time, safety=safety, trials=trials_per_job)
    queue = JobQueue(jobs, settings, listener)
    most = concurrent if local else JOBS_PER_ARRAY
    driver = _Driver(queue, in_jobs, submitter, budget, max_jobs=most, max_retries=max_retries)
    drive(driver, listener)


def _check(cpus: int, safety: float, others: Sequence[float]) -> None:
    """Refuse invalid numbers."""
    if cpus < 1 or safety < 1 or min(others) < 0:
        raise InputError(
            "cpus_per_task and safety must be 1 or more, and the other numbers not negative",
            where="--executor-option",
        )


class _Driver:
    """Submits what is ready to run, collects what is done, and resubmits what was lost."""

    def __init__(
        self,
        queue: JobQueue,
        settings: BatchSettings,
        submitter: Submitter,
        budget: TimeBudget,
        *,
        max_jobs: int,
        max_retries: int,
    ) -> None:
        self._queue, self._settings, self._submitter, self._budget = queue, settings, submitter, budget
        self._max_jobs, self._max_retries = max_jobs, max_retries
        self._store = Store(settings.settings.store)
        self._running: dict[Any, list[Job]] = {}
        self._lost: Counter[str] = Counter()
        self._stopping = False

    def run(self, stop: Stop) -> None:
        """Run until no job is left, or when stopping until the running jobs are done."""
        while True:
            if stop.requested:
                self._cancel_pending()
            else:
                self._submit()
            if not self._running:
                return
            for handle in [each for each in self._running if each.done()]:
                self._receive(handle)
            clock.sleep(SECONDS_PER_POLL)

    def _submit(self) -> None:
        free = self._max_jobs - len(self._running)
        size = self._budget.batch_size(len(self._queue), self._max_jobs)
        batches: list[list[Job]] = []
        while self._queue and len(batches) < free:
            batches.append(self._queue.take(size))
        if not batches:
            return
        arguments = [Batch(self._settings, tuple(batch)) for batch in batches]
        handles = self._submitter.submit(arguments, self._budget.limit(batches))
        for handle, batch in zip(handles, batches, strict=True):
            self._running[handle] = batch
            for job in batch:
                self._queue.listener.started(job)

    def _receive(self, handle: Any) -> None:
        batch = self._running.pop(handle)
        problem, results = self._results(handle)
        if problem:
            self._resubmit(batch, problem)
            return
        for job, result in zip(batch, results, strict=True):
            result.record(job, self._queue, self._store)
        self._submitter.delete_files(handle)

    def _results(self, handle: Any) -> tuple[str, list[JobResult]]:
        """Return how a Slurm job was lost, or an empty text and its results.

        Raises:
            InputError: the nodes cannot run trials.
        """
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            return "", handle.result()
        except UncompletedJobError:
            return f"its Slurm job {handle.job_id} was lost ({handle.state})", []
        except FailedJobError as error:
            last = str(error).strip().splitlines()[-1]
            raise InputError(
                f"no trial can run on the nodes: {last}",
                where=str(handle.paths.stderr),
                hint="every node must see this Python environment, this folder and the store",
            ) from error

    def _resubmit(self, batch: Sequence[Job], problem: str) -> None:
        """Queue again what a lost job has not finished; the trial that was running, `max_retries` times."""
        unfinished = []
        for job in batch:
            if isinstance(job, TrialJob) and self._store.holds(job.key):
                self._queue.finished(job, 0.0)
            else:
                unfinished.append(job)
        for position, job in enumerate(unfinished):
            self._lost[job.key] += position == 0
            if self._lost[job.key] > self._max_retries:
                self._queue.failed(job, f"{problem}, {self._lost[job.key]} times")
            else:
                self._queue.put_back(job)

    def _cancel_pending(self) -> None:
        """Cancel the jobs that wait in Slurm's queue; running ones continue."""
        waiting = self._submitter.cancel_pending(list(self._running), refresh=not self._stopping)
        self._stopping = True
        for handle in waiting:
            del self._running[handle]

    def close(self) -> None:
        """Cancel what still runs."""
        for handle in self._running:
            self._submitter.cancel(handle)
