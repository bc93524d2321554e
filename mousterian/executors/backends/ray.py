"""Run trials on an existing Ray cluster."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from mousterian.errors import InputError
from mousterian.executors.backends._ray_cluster import Reservation, cluster, live_nodes, reservation_for
from mousterian.executors.job_queue import BatchSettings, JobQueue, JobResult, Stop, drive
from mousterian.executors.jobs import Job, TrialJob
from mousterian.executors.kinds import Listener
from mousterian.seeds import digest
from mousterian.store.rows import Store
from mousterian.trials.settings import Settings

# A Ray task costs about a millisecond, so small trials are sent together: as many as fill this time.
SECONDS_PER_TASK = 0.5
MAX_JOBS_PER_TASK = 64
SECONDS_PER_POLL = 2.0  # of the cluster's resources: nodes come and go


def run(
    jobs: Sequence[Job],
    settings: Settings,
    listener: Listener,
    *,
    workers: int = 0,
    address: str = "",
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float | None = None,
    max_retries: int = 2,
    shared_store: bool = True,
    scratch: str = "",
) -> None:
    """Run trials on an existing Ray cluster.

    The first Ctrl-C lets running trials finish, the second stops them. Either raises KeyboardInterrupt.

    Args:
        jobs: jobs to run, in order of priority.
        settings: where trials run and where their rows go.
        listener: is notified of each job's progress.
        workers: trials at a time; 0: as many as fit in the cluster.
        address: address of the cluster; empty: RAY_ADDRESS, else the cluster that `ray start` started here.
        cpus_per_trial: cores that a trial reserves; may be a fraction.
        gpus_per_trial: devices that a trial reserves, 0.25 for four trials per device; default: one if the
            device is cuda (or auto, and the cluster has some), else none. 2 or more train each trial
            together. A trial whose recipe asks for several devices reserves that many times as much.
        max_retries: how often a trial whose worker or node was lost is run again.
        shared_store: whether every node sees the store's folder; if not, rows are sent to this process,
            which writes them, and pools are made where they are needed.
        scratch: folder for pools on each node without a shared store; empty: one in the user's cache.

    Raises:
        InputError: Ray is not installed, the cluster cannot be reached, or a trial does not fit into it.
    """
    if not jobs:
        return
    _check(settings.device, cpus_per_trial, gpus_per_trial, max_retries)
    most = max(job.devices(settings) for job in jobs)
    if gpus_per_trial and gpus_per_trial > 1:  # takes precedence over the recipes
        settings, most = replace(settings, devices=int(gpus_per_trial)), 1
    with cluster(address) as ray:
        reservation = reservation_for(ray, settings.device, cpus_per_trial, gpus_per_trial, most)
        on_nodes = _batch_settings(settings, reservation, shared_store, scratch)
        driver = _Driver(
            ray,
            JobQueue(jobs, settings, listener),
            on_nodes,
            Store(settings.store),
            reservation=reservation,
            workers=workers,
            max_retries=max_retries,
        )
        drive(driver, listener)


def _check(device: str, cpus: float, gpus: float | None, max_retries: int) -> None:
    """Refuse invalid options."""
    if cpus <= 0 or (gpus or 0) < 0 or max_retries < 0:
        raise InputError(
            "cpus_per_trial must be more than 0, gpus_per_trial and max_retries 0 or more",
            where="--executor-option",
        )
    if (gpus or 0) > 1 and gpus != int(gpus or 0):
        raise InputError(
            f"gpus_per_trial above 1 must be a whole number, not {gpus:g}", where="--executor-option"
        )
    if ":" in device:
        raise InputError(f"Ray assigns the devices itself: --device cuda, not {device}", where="--device")


def _batch_settings(
    settings: Settings, reservation: Reservation, shared_store: bool, scratch: str
) -> BatchSettings:
    made = BatchSettings.of(settings, accelerated=reservation.gpus > 0, returns_rows=not shared_store)
    if shared_store:
        return made
    folder = Path(scratch) if scratch else Path.home() / ".cache" / "mousterian" / "scratch"
    store = folder / digest([str(made.settings.store)])
    return replace(made, settings=replace(made.settings, store=store))


class _Driver:
    """Keeps as many tasks in flight as fit in the cluster, and resubmits lost ones."""

    def __init__(
        self,
        ray: ModuleType,
        queue: JobQueue,
        settings: BatchSettings,
        store: Store,
        *,
        reservation: Reservation,
        workers: int,
        max_retries: int,
    ) -> None:
        self._ray, self._queue, self._settings, self._store = ray, queue, settings, store
        self._reservation, self._workers, self._max_retries = reservation, workers, max_retries
        self._task = ray.remote(_run_batch)
        self._settings_ref = ray.put(settings)
        self._running: dict[Any, list[Job]] = {}
        self._lost: Counter[str] = Counter()
        self._suspects: set[str] = set()
        self._node_of_pool: dict[str, str] = {}
        self._seconds_per_job = SECONDS_PER_TASK
        self._slots = 1
        self._next_poll = 0.0

    def run(self, stop: Stop) -> None:
        """Run until no job is left, or when stopping until the running tasks are done."""
        while True:
            if not stop.requested:
                self._submit()
            if not self._running:
                return
            refs = list(self._running)
            some, _ = self._ray.wait(refs, num_returns=1, timeout=0.5)
            if some:
                ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
                for ref in ready:
                    self._receive(ref)

    def _submit(self) -> None:
        if time.monotonic() > self._next_poll:
            # One task is submitted even if none fits now: it makes an autoscaling cluster add nodes.
            self._slots = max(1, self._reservation.slots(self._ray.cluster_resources()))
            self._slots = min(self._slots, self._workers or self._slots)
            self._next_poll = time.monotonic() + SECONDS_PER_POLL
        while self._queue and len(self._running) < self._slots:
            batch = self._queue.take(self._batch_size(), one_pool=self._settings.returns_rows)
            # A job that may have killed its worker runs alone, so that no other job is lost with it.
            alone = [job for job in batch if job.key in self._suspects or self._devices(job) > 1]
            rest = [job for job in batch if job not in alone]
            for part in [*([job] for job in alone), *([rest] if rest else [])]:
                self._running[self._start(part)] = part
                for job in part:
                    self._queue.listener.started(job)

    def _devices(self, job: Job) -> int:
        """Return how many times the reservation of a trial a job needs."""
        settings = self._settings.settings
        return 1 if settings.devices else job.devices(settings)

    def _batch_size(self) -> int:
        """Return how many trials fill a task's time while some are left for every slot."""
        fill = int(SECONDS_PER_TASK / max(self._seconds_per_job, 1e-6))
        share = -(-len(self._queue) // (2 * self._slots))
        return max(1, min(fill, share, MAX_JOBS_PER_TASK))

    def _start(self, batch: Sequence[Job]) -> Any:
        """Submit a batch to the cluster; without a shared store, preferably to the node of its pool."""
        pool = batch[0].needs or (batch[0].key if not isinstance(batch[0], TrialJob) else "")
        strategy = self._affinity(pool) if pool and self._settings.returns_rows else "DEFAULT"
        reservation = self._reservation.times(self._devices(batch[0]))
        # Lost trials are resubmitted by this class, which knows which are finished; never by Ray.
        task = self._task.options(
            num_cpus=reservation.cpus,
            num_gpus=reservation.gpus,
            max_retries=0,
            scheduling_strategy=strategy,
        )
        return task.remote(self._settings_ref, batch)

    def _affinity(self, pool: str) -> Any:
        """Return the scheduling strategy that prefers the node of a pool."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = live_nodes(self._ray)
        if not nodes:
            return "DEFAULT"
        if self._node_of_pool.get(pool) not in nodes:
            self._node_of_pool[pool] = nodes[len(self._node_of_pool) % len(nodes)]
        return NodeAffinitySchedulingStrategy(self._node_of_pool[pool], soft=True, _spill_on_unavailable=True)

    def _receive(self, ref: Any) -> None:
        batch = self._running.pop(ref)
        problem, results = self._results(ref)
        if problem:
            for job in batch:
                self._resubmit(job, problem, alone=len(batch) == 1)
            return
        for job, result in zip(batch, results, strict=True):
            result.record(job, self._queue, self._store)
            if isinstance(job, TrialJob):
                self._seconds_per_job += 0.2 * (result.seconds - self._seconds_per_job)

    def _results(self, ref: Any) -> tuple[str, list[JobResult]]:
        """Return how a task's worker was lost, or an empty text and the results.

        Raises:
            InputError: the workers of this cluster cannot run trials.
        """
        errors = self._ray.exceptions
        try:
            return "", self._ray.get(ref)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            last = str(error).strip().splitlines()[-1]
            raise InputError(
                f"no trial can run on this cluster: {last}",
                hint="install the same mousterian, with 'mousterian[train]', on every node",
            ) from error
        except errors.RayError as error:
            return f"its worker or node was lost ({type(error).__name__})", []

    def _resubmit(self, job: Job, problem: str, alone: bool) -> None:
        """Queue a lost job again; one that was lost alone is the cause and is retried `max_retries` times."""
        self._suspects.add(job.key)
        self._lost[job.key] += alone
        if self._lost[job.key] > self._max_retries:
            self._queue.failed(job, f"{problem}, {self._lost[job.key]} times")
        else:
            self._queue.put_back(job)

    def close(self) -> None:
        """Cancel what still runs."""
        for ref in self._running:
            self._ray.cancel(ref, force=True)


def _run_batch(settings: BatchSettings, jobs: Sequence[Job]) -> list[JobResult]:
    """Run a batch, in a worker of the cluster."""
    return settings.run(jobs)
