"""Random kills: no recorded trial is lost or run again, all files stay readable, no process is left running.

The full 200 kills, 20 of them of real trainings (minutes):

    pytest tests/executors/test_survival.py -m slow -s
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import TINY_GRID
from running import command, install

from mousterian.store.rows import Store
from mousterian.store.schema import DONE
from mousterian.synthesis import pools
from mousterian.trials import grid

Command = list[str]
# A grid without training: real executor, store, claims and pool; its trials only sleep, and torch is a stub,
# so that a run starts at once. It logs each trial before it runs and after it is in the store.
NO_WORK = """
import os, sys, time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np
from mousterian.executors.backends import _processes, local
from mousterian.executors.jobs import TrialJob
from mousterian.synthesis.pool_identity import PoolIdentity
from mousterian.synthesis.pools import Pool
from mousterian.store.rows import Store
from mousterian.store.schema import DONE, FAILED
from mousterian.trials.settings import Settings

KEYS = [f"{number:016x}" for number in range(1 << 40, (1 << 40) + 300)]

def log(settings, *words):
    descriptor = os.open(settings.store.parent / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (" ".join(words) + "\\n").encode())
    os.close(descriptor)

class NoWork(TrialJob):
    def execute(self, settings, *, wait=True):
        store = Store(settings.store)
        with store.claimed(self.key, wait=wait):
            if store.outcome(self.key):
                return
            log(settings, "run", self.key)
            number = KEYS.index(self.key)
            if number % 8 == 0:
                Pool(settings.store / "pools", grey(number // 24), ("a", "b")).ensure(
                    600, (4, 4, 1), lambda: None, "cpu")
            time.sleep(0.01)
            store.write([{"trial": self.key, "status": DONE, "evaluation": "accuracy", "top1": 0.5}])
            log(settings, "kept", self.key)

    def devices(self, settings):
        return 1

    def record_failure(self, settings, error):
        Store(settings.store).write([{"trial": self.key, "status": FAILED, "error": error}])

def grey(seed):
    return PoolIdentity("grey", {}, "", seed, "elsewhere", {"name": "made", "options": {}}, 0, 1.0, 0, 0)

class Grey:
    def sample(self, labels, indices, seeds):
        return np.repeat((seeds % 256).astype(np.uint8), 16).reshape(-1, 4, 4, 1)

def load(context):
    return Grey()

class Silent:
    def started(self, job): pass
    def finished(self, job, seconds): pass
    def failed(self, job, error): pass
    def postponed(self, job): pass
    def notice(self, text): pass
    def stopping(self): pass

def main():
    store = Path(sys.argv[1])
    _processes.PRELOAD[:] = _processes.PRELOAD[:1]
    known = Store(store).status()
    jobs = [NoWork(None, key, key) for key in KEYS if known.get(key) != DONE]
    local.run(jobs, Settings(store, None, "cpu", "kills"), Silent(), workers=2)
"""
TORCH = "def zeros(*size, **options): pass\n"


@dataclass(frozen=True)
class Process:
    """A running process, from /proc."""

    pid: int
    parent: int
    session: int


def processes(session: int) -> list[Process]:
    """Return the running processes of a session: all that one grid has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] not in "ZX" and int(fields[3]) == session:
                found.append(Process(int(entry.name), int(fields[1]), int(fields[3])))
    return found


def kill_some(supervisor: subprocess.Popen[bytes], target: str, choose: random.Random) -> None:
    """Kill a worker (or another child of the supervisor), the supervisor, or all."""
    if target == "group":
        with suppress(ProcessLookupError):
            os.killpg(supervisor.pid, signal.SIGKILL)
        return
    others = [each.pid for each in processes(supervisor.pid) if each.pid != supervisor.pid]
    victim = choose.choice(others) if target == "worker" and others else supervisor.pid
    with suppress(ProcessLookupError):  # it has just ended by itself
        os.kill(victim, signal.SIGKILL)


def leftovers(session: int, seconds: float) -> list[Process]:
    deadline = time.monotonic() + seconds
    while (found := processes(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def check_store(store: Path, before: set[str]) -> set[str]:
    """Check that all files are readable and nothing recorded is lost; return what is recorded."""
    faults = [(path, fault) for path, fault in Store(store).verify() if path.suffix != ".tmp"]
    assert not faults
    assert not list(pools.verify(store / "pools"))
    done = {trial for trial, status in Store(store).status().items() if status == DONE}
    assert before <= done
    return done


@dataclass
class Tally:
    """Counts of kills, trials recorded after each, and the time of the slowest end."""

    kills: int = 0
    supervisors: int = 0
    slowest_end: float = 0.0
    recorded: list[int] = field(default_factory=list)


def await_trials(store: Path, count: int, grids: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until a number of trials are recorded, or no grid is running."""
    while len(list(store.glob("trials/*.done.parquet"))) < count and any(g.poll() is None for g in grids):
        time.sleep(0.01)


def kill_repeatedly(
    store: Path, start: Callable[[], Command], kills: int, longest: float, seed: int = 0
) -> Tally:
    """Run a grid, in every other round two at once, and kill some of its processes after a random time."""
    choose, tally, done = random.Random(seed), Tally(), set[str]()
    grids: list[subprocess.Popen[bytes]] = []
    while tally.kills < kills:
        grids = [each for each in grids if each.poll() is None]
        while len(grids) < 1 + tally.kills % 2:
            grids.append(subprocess.Popen(start(), start_new_session=True, stdout=subprocess.DEVNULL))
        if choose.random() < 0.5:
            time.sleep(choose.uniform(0, longest))
        else:  # while trials run, however slow the machine
            await_trials(store, len(done) + choose.randint(1, 20), grids)
        victim = choose.choice(grids)
        target = choose.choice(["worker", "worker", "supervisor", "group"])
        kill_some(victim, target, choose)
        tally.kills += 1
        if target != "worker":
            started = time.monotonic()
            victim.wait()
            assert not leftovers(victim.pid, 5), (target, tally)
            tally.supervisors += 1
            tally.slowest_end = max(tally.slowest_end, time.monotonic() - started)
        if store.exists():
            done = check_store(store, done)
        tally.recorded.append(len(done))
    for each in grids:
        each.wait(600)
        assert not leftovers(each.pid, 5)
    return tally


@pytest.fixture
def no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The store of a grid without training, which `no_work_command` runs."""
    site = tmp_path / "site"
    install(site, "nowork", NO_WORK, "grey = nowork:load", kind="generators")
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text(TORCH)
    monkeypatch.setenv("PYTHONPATH", str(site))
    return tmp_path / "store"


def no_work_command(store: Path) -> Command:
    return [sys.executable, "-c", "import nowork; nowork.main()", str(store)]


def check_log(log: Path) -> int:
    """Check that no trial was run again once recorded; return how many were recorded."""
    kept = set()
    for line in log.read_text().splitlines():
        what, key = line.split()
        assert key not in kept, f"{key}: {what} although it was recorded"
        if what == "kept":
            kept.add(key)
    return len(kept)


def finish_and_check(store: Path) -> None:
    subprocess.run(no_work_command(store), check=True, timeout=300)
    assert len(check_store(store, set())) == len(Store(store).read()) == 300
    assert check_log(store.parent / "log") <= 300
    Store(store).clean()
    assert not list(Store(store).verify())


def test_twenty_random_kills_lose_nothing_and_leave_nothing(no_work: Path) -> None:
    tally = kill_repeatedly(no_work, lambda: no_work_command(no_work), 20, longest=1.2)
    assert tally.supervisors >= 5
    assert (
        len({count for count in tally.recorded if 0 < count < 300}) >= 5
    )  # killed while trials were recorded
    finish_and_check(no_work)


@pytest.mark.slow
def test_a_hundred_and_eighty_random_kills(no_work: Path) -> None:
    for part in range(9):
        store = no_work.parent / str(part) / "store"
        tally = kill_repeatedly(
            store, lambda store=store: no_work_command(store), 20, longest=1.2, seed=1 + part
        )
        finish_and_check(store)
        print(f"\n{tally}")


@pytest.mark.slow
def test_twenty_random_kills_of_real_trainings_change_no_result(tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY_GRID.replace("training_seeds = [0, 1]", f"training_seeds = {list(range(25))}"))
    store, whole = tmp_path / "store", tmp_path / "whole"

    def start(store: Path = store) -> Command:
        return command("grid", file, "--store", store, "--workers", 2)

    print(f"\n{kill_repeatedly(store, start, 20, longest=12.0)}")
    for each in (store, whole):
        subprocess.run([*start(each), "--retry-failed"], check=True, timeout=600, stdout=subprocess.DEVNULL)
    columns = ["trial", "top1", "loss", "steps"]
    assert Store(store).read()[columns].equals(Store(whole).read()[columns])
    assert len(grid.read(file)[0]) == len(Store(store).read())
