"""Run trials on a Slurm cluster, as arrays of jobs of many trials each, submitted with submitit."""

from __future__ import annotations

import os
import time as clock
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from mousterian.errors import InputError
from mousterian.executors.backends._slurm_jobs import Batch, Outlook, Submitter, Wanted, check_devices
from mousterian.executors.job_queue import BatchSettings, JobQueue, JobResult, Stop, drive
from mousterian.executors.jobs import Job, TrialJob
from mousterian.executors.kinds import Listener
from mousterian.store.rows import Store
from mousterian.trials.settings import Settings

JOBS_AT_A_TIME = 256  # of one array
JOBS_IN_AN_ARRAY = 1000  # Slurm's own limit is 1001, if its administrator has set no other
SECONDS_BETWEEN_LOOKS = 1.0


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

    A job that reaches its time limit, or is preempted, is requeued and goes on where it stopped. The first
    Ctrl-C takes back what waits in the queue and lets running jobs finish, the second cancels them too;
    either raises KeyboardInterrupt. If this process is killed the jobs go on, and so do their rows.

    Args:
        jobs: what to run, in order of preference.
        settings: where trials run and where their rows go; every node must see the store's folder.
        listener: is told what becomes of each job.
        workers: jobs of an array that run at a time; 0: 256, or one for each core on `local`.
        cluster: slurm; or local, the same with processes of this machine, to try it out.
        partition: Slurm's --partition.
        account: Slurm's --account.
        time: Slurm's --time, minutes; 0: from the estimate.
        safety: factor on the estimated time.
        trials_per_job: trials that one job runs one after another; 0: half an hour of them, by the estimate.
        cpus_per_task: Slurm's --cpus-per-task.
        gpus_per_task: Slurm's --gpus-per-task; more than one train each trial together.
        memory_gb: Slurm's --mem, GB; 0: the cluster's default.
        max_retries: how often a trial whose job was lost is submitted again.
        directives: further ones of sbatch, such as ["qos=long", "constraint=a100"].
        setup: shell commands that go before the trials in each job, such as ["module load cuda"].

    Raises:
        InputError: no submitit, no Slurm, or options that cannot be meant.
    """
    if not jobs:
        return
    _check(cpus_per_task, safety, (time, trials_per_job, gpus_per_task, memory_gb, max_retries))
    local = cluster == "local"
    at_a_time = workers or (len(os.sched_getaffinity(0)) if local else JOBS_AT_A_TIME)
    settings = replace(settings, devices=gpus_per_task if gpus_per_task > 1 else settings.devices)
    check_devices(jobs, settings, cpus_per_task, gpus_per_task)
    place = BatchSettings.of(settings, accelerated=gpus_per_task > 0)
    wanted = Wanted(partition, account, cpus_per_task, gpus_per_task, memory_gb, directives, setup)
    submitter = Submitter(cluster, place.settings.store / "slurm", wanted.of(settings.grid, at_a_time))
    outlook = Outlook.of(jobs, settings, minutes=time, safety=safety, trials=trials_per_job)
    queue = JobQueue(jobs, settings, listener)
    at_once = at_a_time if local else JOBS_IN_AN_ARRAY
    driver = _Driver(queue, place, submitter, outlook, at_once=at_once, max_retries=max_retries)
    drive(driver, listener)


def _check(cpus: int, safety: float, others: Sequence[float]) -> None:
    """Refuse numbers that cannot be meant."""
    if cpus < 1 or safety < 1 or min(others) < 0:
        raise InputError(
            "cpus_per_task and safety must be 1 or more, and no other number negative",
            where="--executor-option",
        )


class _Driver:
    """Submits what can run, collects what is done, and submits again what was lost."""

    def __init__(
        self,
        queue: JobQueue,
        place: BatchSettings,
        submitter: Submitter,
        outlook: Outlook,
        *,
        at_once: int,
        max_retries: int,
    ) -> None:
        self._queue, self._place, self._submitter, self._outlook = queue, place, submitter, outlook
        self._at_once, self._max_retries = at_once, max_retries
        self._store = Store(place.settings.store)
        self._running: dict[Any, list[Job]] = {}
        self._lost: Counter[str] = Counter()
        self._stopping = False

    def run(self, stop: Stop) -> None:
        """Run until nothing is left, or until the running jobs are done when stopping."""
        while True:
            if stop.wanted:
                self._take_back()
            else:
                self._submit()
            if not self._running:
                return
            for handle in [each for each in self._running if each.done()]:
                self._receive(handle)
            clock.sleep(SECONDS_BETWEEN_LOOKS)

    def _submit(self) -> None:
        free = self._at_once - len(self._running)
        size = self._outlook.batch_size(len(self._queue), self._at_once)
        batches: list[list[Job]] = []
        while self._queue and len(batches) < free:
            batches.append(self._queue.take(size))
        if not batches:
            return
        arguments = [Batch(self._place, tuple(batch)) for batch in batches]
        handles = self._submitter.submit(arguments, self._outlook.limit(batches))
        for handle, batch in zip(handles, batches, strict=True):
            self._running[handle] = batch
            for job in batch:
                self._queue.listener.started(job)

    def _receive(self, handle: Any) -> None:
        batch = self._running.pop(handle)
        problem, outcomes = self._outcomes(handle)
        if problem:
            self._again(batch, problem)
            return
        for job, outcome in zip(batch, outcomes, strict=True):
            outcome.conclude(job, self._queue, self._store)
        self._submitter.tidy(handle)

    def _outcomes(self, handle: Any) -> tuple[str, list[JobResult]]:
        """Return a job's outcomes, or how it was lost.

        Raises:
            InputError: the nodes can run no trial.
        """
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            return "", handle.result()
        except UncompletedJobError:
            return f"its Slurm job {handle.job_id} was lost ({handle.state})", []
        except FailedJobError as error:
            last = str(error).strip().splitlines()[-1]
            raise InputError(
                f"no trial can run there: {last}",
                where=str(handle.paths.stderr),
                hint="every node must see this Python environment, this folder and the store",
            ) from error

    def _again(self, batch: Sequence[Job], problem: str) -> None:
        """Queue again what a lost job has not finished; that at which it was lost has only so many tries."""
        left = []
        for job in batch:
            if isinstance(job, TrialJob) and self._store.holds(job.key):
                self._queue.finished(job, 0.0)
            else:
                left.append(job)
        for position, job in enumerate(left):
            self._lost[job.key] += position == 0
            if self._lost[job.key] > self._max_retries:
                self._queue.failed(job, f"{problem}, {self._lost[job.key]} times")
            else:
                self._queue.put_back(job)

    def _take_back(self) -> None:
        """Cancel the jobs that wait in Slurm's queue; those that run go on."""
        waiting = self._submitter.take_back(list(self._running), look=not self._stopping)
        self._stopping = True
        for handle in waiting:
            del self._running[handle]

    def close(self) -> None:
        """Cancel what still runs."""
        for handle in self._running:
            self._submitter.cancel(handle)
