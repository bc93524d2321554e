"""How many processes share an accelerator: decided here from numbers, with workers that are imitated."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from running import Told, settings_of, trials_of

from mousterian.executors import workers as deciding
from mousterian.executors.backends import _worker, local
from mousterian.executors.backends._worker import WorkerMessage
from mousterian.executors.jobs import jobs_of
from mousterian.executors.workers import MOST_SHARING, Sharing, workers_that_fit
from mousterian.trials.settings import Settings

GIB = 2**30


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
    assert workers_that_fit(*in_bytes, cores, asked=7) == 7


def test_the_first_use_known_raises_the_number_and_later_ones_only_lower_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deciding, "accelerators", lambda: 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    sharing = Sharing("auto")
    assert (sharing.most, sharing.text(2)) == (2, "")
    sharing.began(80 * GIB)
    sharing.began(60 * GIB)
    assert sharing.uses(4 * GIB) and sharing.most == 8
    sharing.began(9 * GIB)  # a worker that was started beside another
    assert not sharing.uses(4 * GIB) and not sharing.uses(3 * GIB)
    assert sharing.uses(14 * GIB) and sharing.most == 6
    assert sharing.text(6).startswith("6 processes share 2 devices: one uses 14.0 of 60.0 GiB")
    assert sharing.can_miss(2) and not sharing.can_miss(1)
    for fixed, most in ((Sharing("auto", 5), 5), (Sharing("auto", apart=True), 2)):
        assert not fixed.uses(GIB) and fixed.most == most and not fixed.can_miss(4)
    assert Sharing("auto", 5).text(5) == "5 processes share 2 devices, as --workers says"
    assert Sharing("cpu", 5).text(5) == Sharing("auto", 2).text(2) == ""


class Imitated:
    """Workers that are no processes; a test says what they say."""

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
def workers(monkeypatch: pytest.MonkeyPatch) -> Imitated:
    found = Imitated()
    monkeypatch.setattr(local, "start", found.start)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    for module in (local, deciding):
        monkeypatch.setattr(module, "accelerators", lambda: 1)
    return found


def supervisor_of(folder: Path, told: Told, asked: int = 0) -> local._Supervisor:
    settings = settings_of(folder, "cuda")
    return local._Supervisor(jobs_of(trials_of(folder), settings), settings, told, asked)


def say(supervisor: local._Supervisor, workers: Imitated, number: int, word: WorkerMessage) -> None:
    workers.ends[number].send(word)
    supervisor._receive(next(slot for slot in supervisor._slots if slot.number == number))


def test_workers_are_started_while_the_first_trains_and_let_go_when_memory_grows(
    tmp_path: Path, workers: Imitated
) -> None:
    told = Told()
    supervisor = supervisor_of(tmp_path, told)
    assert len(workers.ends) == 1 and not told.notices
    say(supervisor, workers, 0, WorkerMessage(free=80 * GIB))
    supervisor._hand_out()
    say(supervisor, workers, 0, WorkerMessage(used=4 * GIB))
    assert len(told.started_keys) == 1 and not told.done  # the first trial goes on
    assert len(workers.ends) == 4
    assert told.notices == [
        "4 processes share the device: one uses 4.0 of 80.0 GiB that were free; CPU cores: 16"
    ]
    say(supervisor, workers, 1, WorkerMessage(free=70 * GIB))
    say(supervisor, workers, 2, WorkerMessage(free=60 * GIB))
    say(supervisor, workers, 3, WorkerMessage(error="CUDA out of memory"))  # the others go on
    assert told.notices[1] == "a process less shares the device: CUDA out of memory"
    supervisor._hand_out()
    say(supervisor, workers, 1, WorkerMessage(used=30 * GIB))
    assert told.notices[2].startswith("2 processes share the device: one uses 30.0 of 80.0 GiB")
    say(supervisor, workers, 2, WorkerMessage(seconds=1.0))
    supervisor._hand_out()
    assert [slot.number for slot in supervisor._slots] == [0, 1] and len(workers.ends) == 4
    assert len(told.done) == 1 and not told.errors


def test_no_more_workers_than_trials_are_left_and_none_but_those_asked_for(
    tmp_path: Path, workers: Imitated
) -> None:
    told = Told()
    supervisor = supervisor_of(tmp_path, told, asked=3)
    assert len(workers.ends) == 3 and told.notices == ["3 processes share the device, as --workers says"]
    say(supervisor, workers, 0, WorkerMessage(free=80 * GIB))
    say(supervisor, workers, 0, WorkerMessage(used=GIB))
    assert len(workers.ends) == 3 and len(told.notices) == 1
    few = supervisor_of(tmp_path, told)
    few._waiting = few._waiting[:2]
    workers.ends = workers.ends[3:]
    say(few, workers, 0, WorkerMessage(free=80 * GIB))
    few._hand_out()
    say(few, workers, 0, WorkerMessage(used=GIB))
    assert len(workers.ends) == 2


def test_a_worker_says_what_it_uses_whenever_that_has_grown_and_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uses = iter([0, 0, 0, 0, 0, 5, 7, 7, 7, 7, 7, 7, 9, 9, 9, 9])
    said: list[int] = []

    def peak(device: int) -> int:
        return next(uses)

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", peak)

    def heard(word: WorkerMessage) -> None:
        said.append(word.used)
        if len(said) == 2:
            raise OSError("the supervisor has gone")

    _worker._watch_memory(heard, "cuda:0")
    assert said == [7, 9]


def test_a_worker_on_a_cpu_has_no_memory_to_tell_of() -> None:
    assert _worker._first_word("cpu") == WorkerMessage()
    assert "cannot be used" in _worker._first_word("nonsense").error
