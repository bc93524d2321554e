"""How many processes share an accelerator: decided here from numbers, with simulated workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from running import Recorder, settings_of, trials_of

from mousterian.executors import workers as deciding
from mousterian.executors.backends import _worker, local
from mousterian.executors.backends._worker import WorkerMessage
from mousterian.executors.job_queue import JobQueue
from mousterian.executors.jobs import jobs_of
from mousterian.executors.workers import MOST_SHARING, Sharing, workers_that_fit
from mousterian.trials.settings import Settings

GIB = 2**30
GRID = """
dataset = "digits"
n_base = [30]
r_real = [1]
model = {name = "small_cnn", width = 4}
recipe = {name = "small", iterations = 12, batch_size = 16, crop = 1, flip = true}
training_seeds = [0, 1, 2]
"""


@pytest.mark.parametrize(
    ("free", "used", "cores", "workers"),
    [
        (79.0, 0.5, 16, MOST_SHARING),  # an H100 and a tiny model
        (79.0, 4.9, 16, MOST_SHARING),  # and the fast recipe
        (79.0, 20.0, 16, 3),
        (79.0, 40.0, 16, 1),
        (15.5, 4.9, 16, 2),
        (79.0, 4.9, 2, 2),  # each keeps a core busy
        (79.0, 79.0, 1, 1),
        (1.0, 2.0, 16, 1),  # others have taken most of the device
    ],
)
def test_as_many_processes_share_a_device_as_its_memory_and_the_cores_allow(
    free: float, used: float, cores: int, workers: int
) -> None:
    in_bytes = int(free * GIB), int(used * GIB)
    assert workers_that_fit(*in_bytes, cores) == workers
    assert workers_that_fit(*in_bytes, 2 * cores, devices=2) == 2 * workers
    assert workers_that_fit(*in_bytes, cores, requested=7) == 7


def test_the_first_report_raises_the_number_and_later_ones_only_lower_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deciding, "accelerators", lambda: 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    sharing = Sharing("auto")
    assert (sharing.most, sharing.notice(2)) == (2, "")
    sharing.worker_started(80 * GIB)
    sharing.worker_started(60 * GIB)
    assert sharing.memory_used(4 * GIB) and sharing.most == 8
    sharing.worker_started(9 * GIB)  # a worker that was started beside another
    assert not sharing.memory_used(4 * GIB) and not sharing.memory_used(3 * GIB)
    assert sharing.memory_used(14 * GIB) and sharing.most == 6
    assert sharing.notice(6).startswith("6 processes share 2 devices: one uses 14.0 of 60.0 GiB")
    assert sharing.is_optional(2) and not sharing.is_optional(1)
    for fixed, most in ((Sharing("auto", 5), 5), (Sharing("auto", exclusive=True), 2)):
        assert not fixed.memory_used(GIB) and fixed.most == most and not fixed.is_optional(4)
    assert Sharing("auto", 5).notice(5) == "5 processes share 2 devices, as set by --workers"
    assert Sharing("cpu", 5).notice(5) == Sharing("auto", 2).notice(2) == ""


class Simulated:
    """Workers that are not processes; a test sends their messages."""

    def __init__(self) -> None:
        self.ends: list[Connection] = []
        self.exitcode = 0

    def start(self, work: Callable[..., None], settings: Settings) -> tuple[Any, Connection]:
        here, there = Pipe()
        self.ends.append(there)
        return self, here

    def join(self, timeout: float = 0) -> None: ...
    def kill(self) -> None: ...
    def is_alive(self) -> bool:
        return False


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Simulated:
    found = Simulated()
    monkeypatch.setattr(local, "start", found.start)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    for module in (local, deciding):
        monkeypatch.setattr(module, "accelerators", lambda: 1)
    return found


def supervisor_of(folder: Path, listener: Recorder, requested: int = 0) -> local._Supervisor:
    settings = settings_of(folder / "store", "cuda")
    return local._Supervisor(jobs_of(trials_of(folder, GRID), settings), settings, listener, requested)


def send(supervisor: local._Supervisor, workers: Simulated, number: int, message: WorkerMessage) -> None:
    workers.ends[number].send(message)
    supervisor._receive(next(slot for slot in supervisor._slots if slot.number == number))


def test_workers_are_started_while_the_first_trains_and_stopped_when_memory_grows(
    tmp_path: Path, workers: Simulated
) -> None:
    listener = Recorder()
    supervisor = supervisor_of(tmp_path, listener)
    assert len(workers.ends) == 1 and not listener.notices
    send(supervisor, workers, 0, WorkerMessage(free=80 * GIB))
    supervisor._assign_jobs()
    send(supervisor, workers, 0, WorkerMessage(used=4 * GIB))
    assert len(listener.begun) == 1 and not listener.done  # the first trial goes on
    assert len(workers.ends) == 4
    assert listener.notices == [
        "4 processes share the device: one uses 4.0 of 80.0 GiB that were free; CPU cores: 16"
    ]
    send(supervisor, workers, 1, WorkerMessage(free=70 * GIB))
    send(supervisor, workers, 2, WorkerMessage(free=60 * GIB))
    send(supervisor, workers, 3, WorkerMessage(error="CUDA out of memory"))  # the others go on
    assert listener.notices[1] == "one process fewer shares the device: CUDA out of memory"
    supervisor._assign_jobs()
    send(supervisor, workers, 1, WorkerMessage(used=30 * GIB))
    assert listener.notices[2].startswith("2 processes share the device: one uses 30.0 of 80.0 GiB")
    send(supervisor, workers, 2, WorkerMessage(seconds=1.0))
    supervisor._assign_jobs()
    assert [slot.number for slot in supervisor._slots] == [0, 1] and len(workers.ends) == 4
    assert len(listener.done) == 1 and not listener.errors


def test_there_are_no_more_workers_than_trials_left_nor_than_requested(
    tmp_path: Path, workers: Simulated
) -> None:
    listener = Recorder()
    supervisor = supervisor_of(tmp_path, listener, requested=3)
    assert len(workers.ends) == 3 and listener.notices == [
        "3 processes share the device, as set by --workers"
    ]
    send(supervisor, workers, 0, WorkerMessage(free=80 * GIB))
    send(supervisor, workers, 0, WorkerMessage(used=GIB))
    assert len(workers.ends) == 3 and len(listener.notices) == 1
    few = supervisor_of(tmp_path, listener)
    few._queue = JobQueue(few._queue.jobs()[:2], few._settings, listener)
    workers.ends = workers.ends[3:]
    send(few, workers, 0, WorkerMessage(free=80 * GIB))
    few._assign_jobs()
    send(few, workers, 0, WorkerMessage(used=GIB))
    assert len(workers.ends) == 2


def test_a_worker_reports_its_use_of_memory_when_it_has_grown_and_is_stable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uses = iter([0, 0, 0, 0, 0, 5, 7, 7, 7, 7, 7, 7, 9, 9, 9, 9])
    reported: list[int] = []

    def peak(device: int) -> int:
        return next(uses)

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", peak)

    def send(message: WorkerMessage) -> None:
        reported.append(message.used)
        if len(reported) == 2:
            raise OSError("the supervisor has gone")

    _worker._watch_memory(send, "cuda:0")
    assert reported == [7, 9]


def test_a_worker_on_a_cpu_reports_no_memory() -> None:
    assert _worker._startup_message("cpu") == WorkerMessage()
    assert "cannot be used" in _worker._startup_message("nonsense").error
