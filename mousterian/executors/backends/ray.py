"""Run trials on a Ray cluster that is there already."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from mousterian.errors import InputError
from mousterian.executors.backends._ray_cluster import Room, alive_nodes, cluster, room_for
from mousterian.executors.job_queue import BatchSettings, JobQueue, JobResult, Stop, drive
from mousterian.executors.jobs import Job, TrialJob
from mousterian.executors.kinds import Listener
from mousterian.seeds import digest
from mousterian.store.rows import Store
from mousterian.trials.settings import Settings

# A task of Ray costs about a millisecond, so small trials travel together: as many as fill this time.
SECONDS_A_TASK = 0.5
MOST_JOBS_A_TASK = 64
SECONDS_BETWEEN_LOOKS = 2.0  # at the cluster's resources: nodes come and go


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
    """Run trials on a Ray cluster that is there already.

    The first Ctrl-C lets running trials finish, the second stops them. Either raises KeyboardInterrupt.

    Args:
        jobs: what to run, in order of preference.
        settings: where trials run and where their rows go.
        listener: is told what becomes of each job.
        workers: trials at a time; 0: as many as the cluster has room for.
        address: of the cluster; empty: RAY_ADDRESS, else the one that `ray start` started here.
        cpus_per_trial: cores that a trial reserves; may be a fraction.
        gpus_per_trial: devices that a trial reserves, 0.25 for four trials a device; default: one if the
            device is cuda (or auto, and the cluster has some), else none. 2 or more train each trial
            together. A trial whose recipe asks for several reserves so many times as much.
        max_retries: how often a trial whose worker or node was lost runs again.
        shared_store: whether every node sees the store's folder; if not, rows come back to this process,
            which writes them, and pools are made where they are needed.
        scratch: folder for pools on each node without a shared store; empty: one in the user's cache.

    Raises:
        InputError: no Ray, no such cluster, or no room in it for a trial.
    """
    if not jobs:
        return
    _check(settings.device, cpus_per_trial, gpus_per_trial, max_retries)
    most = max(job.devices(settings) for job in jobs)
    if gpus_per_trial and gpus_per_trial > 1:  # reserved as told, whatever recipes ask for
        settings, most = replace(settings, devices=int(gpus_per_trial)), 1
    with cluster(address) as ray:
        room = room_for(ray, settings.device, cpus_per_trial, gpus_per_trial, most)
        place = _place(settings, room, shared_store, scratch)
        queue = JobQueue(jobs, settings, listener)
        driver = _Driver(
            ray, queue, place, Store(settings.store), room=room, workers=workers, max_retries=max_retries
        )
        drive(driver, listener)


def _check(device: str, cpus: float, gpus: float | None, max_retries: int) -> None:
    """Refuse what cannot be meant."""
    if cpus <= 0 or (gpus or 0) < 0 or max_retries < 0:
        raise InputError(
            "cpus_per_trial must be more than 0, gpus_per_trial and max_retries 0 or more",
            where="--executor-option",
        )
    if (gpus or 0) > 1 and gpus != int(gpus or 0):
        raise InputError(f"gpus_per_trial above 1 is a whole number, not {gpus:g}", where="--executor-option")
    if ":" in device:
        raise InputError(f"Ray deals out the devices itself: --device cuda, not {device}", where="--device")


def _place(settings: Settings, room: Room, shared_store: bool, scratch: str) -> BatchSettings:
    place = BatchSettings.of(settings, accelerated=room.gpus > 0, returns_rows=not shared_store)
    if shared_store:
        return place
    folder = Path(scratch) if scratch else Path.home() / ".cache" / "mousterian" / "scratch"
    store = folder / digest([str(place.settings.store)])
    return replace(place, settings=replace(place.settings, store=store))


class _Driver:
    """Keeps as many tasks in flight as the cluster has room for, and runs again what is lost."""

    def __init__(
        self,
        ray: ModuleType,
        queue: JobQueue,
        place: BatchSettings,
        store: Store,
        *,
        room: Room,
        workers: int,
        max_retries: int,
    ) -> None:
        self._ray, self._queue, self._place, self._store = ray, queue, place, store
        self._room, self._workers, self._max_retries = room, workers, max_retries
        self._task = ray.remote(_perform)
        self._where = ray.put(place)
        self._running: dict[Any, list[Job]] = {}
        self._lost: Counter[str] = Counter()
        self._suspects: set[str] = set()
        self._homes: dict[str, str] = {}
        self._seconds_a_job = SECONDS_A_TASK
        self._slots = 1
        self._next_look = 0.0

    def run(self, stop: Stop) -> None:
        """Run until nothing is left, or until the running tasks are done when stopping."""
        while True:
            if not stop.wanted:
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
        if time.monotonic() > self._next_look:
            # One task waits even where there is no room now: that is what brings new nodes.
            self._slots = max(1, self._room.slots(self._ray.cluster_resources()))
            self._slots = min(self._slots, self._workers or self._slots)
            self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
        while self._queue and len(self._running) < self._slots:
            batch = self._queue.take(self._batch_size(), one_pool=self._place.returns_rows)
            # What may have brought down its worker goes alone, so that it takes nothing with it.
            alone = [job for job in batch if job.key in self._suspects or self._devices(job) > 1]
            rest = [job for job in batch if job not in alone]
            for part in [*([job] for job in alone), *([rest] if rest else [])]:
                self._running[self._start(part)] = part
                for job in part:
                    self._queue.listener.started(job)

    def _devices(self, job: Job) -> int:
        """Return how many times a trial's room a job takes."""
        settings = self._place.settings
        return 1 if settings.devices else job.devices(settings)

    def _batch_size(self) -> int:
        """Return how many trials fill a task's time, and leave some for every slot."""
        fill = int(SECONDS_A_TASK / max(self._seconds_a_job, 1e-6))
        share = -(-len(self._queue) // (2 * self._slots))
        return max(1, min(fill, share, MOST_JOBS_A_TASK))

    def _start(self, batch: Sequence[Job]) -> Any:
        """Hand a batch to the cluster; without a shared store to its pool's node, if that is idle."""
        pool = batch[0].needs or (batch[0].key if not isinstance(batch[0], TrialJob) else "")
        strategy = self._home(pool) if pool and self._place.returns_rows else "DEFAULT"
        room = self._room.times(self._devices(batch[0]))
        # Trials are run again by this class, which knows what is finished; so never by Ray.
        task = self._task.options(
            num_cpus=room.cpus, num_gpus=room.gpus, max_retries=0, scheduling_strategy=strategy
        )
        return task.remote(self._where, batch)

    def _home(self, pool: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = alive_nodes(self._ray)
        if not nodes:
            return "DEFAULT"
        if self._homes.get(pool) not in nodes:
            self._homes[pool] = nodes[len(self._homes) % len(nodes)]
        return NodeAffinitySchedulingStrategy(self._homes[pool], soft=True, _spill_on_unavailable=True)

    def _receive(self, ref: Any) -> None:
        batch = self._running.pop(ref)
        problem, outcomes = self._outcomes(ref)
        if problem:
            for job in batch:
                self._again(job, problem, alone=len(batch) == 1)
            return
        for job, outcome in zip(batch, outcomes, strict=True):
            outcome.conclude(job, self._queue, self._store)
            if isinstance(job, TrialJob):
                self._seconds_a_job += 0.2 * (outcome.seconds - self._seconds_a_job)

    def _outcomes(self, ref: Any) -> tuple[str, list[JobResult]]:
        """Return a task's outcomes, or how its worker was lost.

        Raises:
            InputError: the workers of this cluster can run no trial.
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

    def _again(self, job: Job, problem: str, alone: bool) -> None:
        """Queue a lost job again; a trial that ran alone is to blame, and has only so many tries."""
        self._suspects.add(job.key)
        self._lost[job.key] += alone
        if self._lost[job.key] > self._max_retries:
            self._queue.failed(job, f"{problem}, {self._lost[job.key]} times")
        else:
            self._queue.put_back(job)

    def close(self) -> None:
        """Stop what still runs."""
        for ref in self._running:
            self._ray.cancel(ref, force=True)


def _perform(place: BatchSettings, jobs: Sequence[Job]) -> list[JobResult]:
    """Run a batch. Runs in a worker of the cluster."""
    return place.perform(jobs)
