"""Disks, clocks and neighbours that misbehave: each has a sentence, and nothing recorded is lost."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_GRID

from mousterian.data import loading
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.executors.failures import GaveUpError, GivesUp, Streak, kind_of
from mousterian.executors.jobs import TrialJob
from mousterian.executors.run import run_trials
from mousterian.files import LockTakenError, lock_position
from mousterian.store import schema
from mousterian.store.rows import Store
from mousterian.store.schema import DIVERGED, DONE, FAILED
from mousterian.trials import checks, grid
from mousterian.trials.settings import Settings

ALONE = TINY_GRID.partition("[generator]")[0].replace("r_syn = [2]", 'strategy = "odd"')  # 8 trials
ODD = """
import os, pathlib
from mousterian.training.strategies.joint import train as joint
def train(model, task): {body}
"""


def row(trial: str, status: str = DONE, **values: Any) -> dict[str, Any]:
    return {"trial": trial, "status": status, "evaluation": "accuracy", "top1": 0.5, **values}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with a strategy `odd`, whose body a test writes."""
    info = tmp_path / "site" / "odd-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mousterian.strategies]\nodd = odd_strategy:train\n")
    return tmp_path / "site"


def run_grid(site: Path, body: str, *options: str, text: str = ALONE) -> subprocess.CompletedProcess[str]:
    """Run a grid of the strategy `odd` through the command line."""
    (site / "odd_strategy.py").write_text(ODD.format(body=body))
    file = site.parent / "odd.toml"
    file.write_text(text)
    command = [sys.executable, "-m", "mousterian", "grid", str(file), "--store", str(site.parent / "store")]
    return subprocess.run(
        [*command, "--json", *options],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_full_disk_stops_the_grid_and_keeps_what_was_recorded(site: Path) -> None:
    # Every process of the run loads this: from the fourth row on the disk is full.
    (site / "sitecustomize.py").write_text(
        "import errno, os\nfrom pathlib import Path\nsync = os.fsync\n"
        f"trials = Path({str(site.parent)!r}) / 'store' / 'trials'\n"
        "def full(descriptor):\n"
        "    if len(list(trials.glob('*.parquet'))) >= 3:\n"
        "        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "    sync(descriptor)\n"
        "os.fsync = full\n"
    )
    done = run_grid(site, "return joint(model, task)", "--workers", "1")
    store = Store(site.parent / "store")
    assert done.returncode == 2
    assert "No space left on device" in done.stderr and "free space" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(store.status().values()) == [DONE] * 3
    assert not list(store.verify())
    (site / "sitecustomize.py").unlink()
    again = run_grid(site, "return joint(model, task)")
    assert (json.loads(again.stdout)["run"], json.loads(again.stdout)["already_done"]) == (5, 3)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_store_that_cannot_be_written_says_so_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    Store(tmp_path).write([row("a" * 16)])
    system_open = os.open

    def refuse(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(code, os.strerror(code), str(path))
        return system_open(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    path_open = Path.open

    def refuse_writing(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if set(mode) & set("wax+"):
            raise OSError(code, os.strerror(code), str(path))
        return path_open(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", refuse_writing)
    store = Store(tmp_path)
    for change in (lambda: store.write([row("b" * 16)]), store.compact, store.clean, store.can_lock):
        with pytest.raises(InputError, match=os.strerror(code)):
            change()
    assert store.status() == {"a" * 16: DONE}
    assert len(store.read()) == 1


def test_one_trial_is_claimed_by_one_process_at_a_time_and_freed_by_its_death(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom mousterian.store.rows import Store\n"
        f"with Store({str(tmp_path)!r}).claimed('a' * 16):\n"
        "    print('claimed', flush=True)\n    time.sleep(600)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    other.stdout.readline()
    store = Store(tmp_path)
    with pytest.raises(LockTakenError), store.claimed("a" * 16, wait=False):
        pass
    with store.claimed("b" * 16, wait=False):
        pass
    other.kill()
    other.communicate()
    with store.claimed("a" * 16, wait=False):
        pass


def test_what_is_left_of_cut_off_writes_goes_when_nobody_writes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write([row("a" * 16)])
    left = tmp_path / "trials" / ".x.tmp"
    left.touch()
    with store.claimed("b" * 16):
        store.clean()
    assert left.exists()
    store.clean()
    assert not left.exists()


def test_two_grids_on_one_store_share_the_work(site: Path) -> None:
    body = (
        "pathlib.Path(__file__).with_name(f'{os.getpid()}-{id(task)}.ran').touch(); return joint(model, task)"
    )
    (site / "odd_strategy.py").write_text(ODD.format(body=body))
    file = site.parent / "odd.toml"
    file.write_text(ALONE)
    command = [sys.executable, "-m", "mousterian", "grid", str(file), "--store", str(site.parent / "store")]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    grids = [
        subprocess.Popen(
            [*command, "--json", "--workers", "1"], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [json.loads(each.communicate(timeout=300)[0]) for each in grids]
    assert [each.returncode for each in grids] == [0, 0]
    assert [each["left"] + each["failed"] for each in told] == [0, 0]
    assert len(Store(site.parent / "store").read()) == 8
    trained = sum(
        len(list(site.glob(f"{pid}-*.ran"))) for pid in {p.name.split("-")[0] for p in site.glob("*.ran")}
    )
    assert trained <= 8


def test_a_file_system_without_locks_is_said_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "fcntl", unsupported)
    store = Store(tmp_path)
    assert not store.can_lock()
    with store.claimed("a" * 16, wait=False):
        store.write([row("a" * 16)])
    store.clean()
    listener = Listening()
    settings = Settings(tmp_path, None, "cpu", "none")
    run_trials([], settings, listener, executor="local", workers=1)
    assert "without locks" in listener.notices[0]


def test_two_hosts_that_run_one_trial_leave_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither sees the other's locks, so both run it and both write it, one while the other compacts.
    monkeypatch.setattr(fcntl, "fcntl", lambda *arguments: None)
    here, there = Store(tmp_path), Store(tmp_path)
    with here.claimed("a" * 16, wait=False), there.claimed("a" * 16, wait=False):
        here.write([row("a" * 16)])
        here.compact()
        there.write([row("a" * 16)])
    assert there.status() == {"a" * 16: DONE}
    assert len(there.read()) == len(here.read()) == 1
    here.compact()
    assert len(here.read()) == 1 and not list(here.verify())


def test_clocks_that_jump_decide_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write([row("a" * 16, FAILED, finished_at="2099-01-01T00:00:00+00:00")])
    store.compact()
    store.write([row("a" * 16, finished_at="1970-01-01T00:00:00+00:00")])
    for path in tmp_path.rglob("*.parquet"):
        os.utime(path, (0, 0))
    assert store.status() == {"a" * 16: DONE}
    assert store.read()["finished_at"].tolist() == ["1970-01-01T00:00:00+00:00"]


def test_a_newer_store_refuses_a_grid_before_anything_is_written(
    tiny_grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "store.json").write_text(json.dumps({"schema_version": schema.SCHEMA_VERSION + 1}))
    done = subprocess.run(
        [sys.executable, "-m", "mousterian", "grid", str(tiny_grid), "--store", str(store)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "newer mousterian" in done.stderr and "update mousterian" in done.stderr
    assert [path.name for path in store.iterdir()] == ["store.json"]


class Listening:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.over: list[tuple[str, str]] = []

    def started(self, job: Any) -> None: ...
    def postponed(self, job: Any) -> None: ...
    def stopping(self) -> None: ...
    def notice(self, text: str) -> None:
        self.notices.append(text)

    def finished(self, job: Any, seconds: float) -> None:
        self.over.append((job.key, ""))

    def failed(self, job: Any, error: str) -> None:
        self.over.append((job.key, error))


def test_a_grid_whose_first_trials_fail_alike_stops_and_says_why(site: Path) -> None:
    done = run_grid(site, "raise RuntimeError(f'no kernel for {id(task)}')", "--workers", "1")
    outcome = json.loads(done.stdout)
    assert done.returncode == 3
    assert (outcome["failed"], outcome["left"]) == (5, 3)
    assert "the first 5 trials all failed alike: RuntimeError: no kernel for" in outcome["stopped"]
    on = run_grid(site, "raise RuntimeError('no')", "--workers", "1", "--keep-going", "--retry-failed")
    assert (json.loads(on.stdout)["failed"], json.loads(on.stdout)["stopped"]) == (8, "")


def job(key: str) -> TrialJob:
    return TrialJob(None, key, key)  # type: ignore[arg-type]


def test_failures_that_differ_or_follow_a_success_or_a_pool_stop_nothing() -> None:
    for events in (
        [f"Error{'ab'[n % 2]}" for n in range(9)],
        ["", *["Error"] * 9],
        ["its pool could not be made: x"] * 9,
    ):
        watch = GivesUp(Listening())
        for number, error in enumerate(events):
            watch.failed(job(str(number)), error) if error else watch.finished(job(str(number)), 0.0)
    watch = GivesUp(Listening())
    with pytest.raises(GaveUpError):
        for number in range(5):
            watch.failed(job(str(number)), f"RuntimeError: {number} bytes at 0x{number}f")


def test_errors_are_alike_but_for_their_numbers() -> None:
    trace = 'Traceback (most recent call last):\n  File "a.py", line {0}\nOSError: disk {0} at 0x{0}'
    assert kind_of(trace.format(1)) == kind_of(trace.format(22)) == "OSError: disk # at #"
    assert kind_of("cannot read\n  mend it") == "cannot read"


def test_a_slot_is_at_fault_only_if_others_succeed_meanwhile() -> None:
    streak = Streak()
    for number in range(3):
        assert not streak.is_at_fault(successes=9)
        streak.failed(job(str(number)), "E", successes=4)
    assert not streak.is_at_fault(successes=4)
    assert streak.is_at_fault(successes=5)
    streak.failed(job("other"), "another error", successes=5)
    assert not streak.is_at_fault(successes=9)


def test_a_slot_that_always_fails_is_set_aside_and_its_trials_run_elsewhere(site: Path) -> None:
    # The first process to come is the bad one.
    body = (
        "\n    bad = pathlib.Path(__file__).with_name('bad')"
        "\n    if not bad.exists(): bad.write_text(str(os.getpid()))"
        "\n    if bad.read_text() == str(os.getpid()): raise RuntimeError('this slot is broken')"
        "\n    import time; time.sleep(0.3)"
        "\n    return joint(model, task)"
    )
    text = ALONE.replace("training_seeds = [0, 1]", "training_seeds = [0, 1, 2, 3, 4, 5, 6, 7]")
    done = run_grid(site, body, "--workers", "2", text=text)
    assert done.returncode == 0, done.stderr
    assert "is set aside" in done.stderr
    assert set(Store(site.parent / "store").status().values()) == {DONE}


def test_a_slot_that_was_not_to_blame_comes_back(site: Path) -> None:
    # All trials of the larger base fail, wherever they run; they are the first, as they are the longest.
    body = (
        "\n    if task.n_base == 40: raise RuntimeError('too large')"
        "\n    import time; time.sleep(0.3)"
        "\n    return joint(model, task)"
    )
    text = ALONE.replace("training_seeds = [0, 1]", "training_seeds = [0, 1, 2, 3]")
    done = run_grid(site, body, "--workers", "2", "--keep-going", text=text)
    outcome = json.loads(done.stdout)
    assert (done.returncode, outcome["run"], outcome["failed"], outcome["left"]) == (3, 8, 8, 0)
    assert done.stderr.count("is set aside") == done.stderr.count("works again")


def test_a_diverged_trial_is_a_result_that_is_run_again_only_when_asked(site: Path) -> None:
    run_grid(site, "return joint(model, task)")
    store = Store(site.parent / "store")
    chosen = sorted(store.status())[0]
    (store.trials / f"{chosen}.done.parquet").unlink()
    store.write([row(chosen, DIVERGED, error="the loss was nan at step 3")])
    again = run_grid(site, "return joint(model, task)")
    assert again.returncode == 0
    assert (json.loads(again.stdout)["run"], json.loads(again.stdout)["diverged"]) == (0, 1)
    asked = run_grid(site, "return joint(model, task)", "--retry-failed")
    assert (json.loads(asked.stdout)["run"], json.loads(asked.stdout)["diverged"]) == (1, 0)


@pytest.mark.parametrize(
    ("shape", "names", "told"),
    [((8, 9, 1), ("a", "b"), "its test images"), ((8, 8, 1), ("a", "c"), "different classes: b, c")],
)
def test_splits_that_do_not_match_are_refused_before_anything_trains(
    tiny_grid: Path, monkeypatch: pytest.MonkeyPatch, shape: Any, names: Any, told: str
) -> None:
    def made(dataset: Any, split: str, folder: Any) -> ImageSet:
        side, classes = ((8, 8, 1), ("a", "b")) if split == "train" else (shape, names)
        return ImageSet(np.zeros((90, *side), dtype=np.uint8), np.arange(90) % 2, classes)

    trials, source = grid.read(tiny_grid)
    monkeypatch.setattr(loading, "load_images", made)
    with pytest.raises(InputError, match=told):
        checks.check_sizes(trials, source, None)


def test_positions_of_locks_are_the_trials_own() -> None:
    assert lock_position("f" * 16) < 2**63
    assert len({lock_position(f"{number:016x}") for number in range(0, 4096, 2)}) == 2048
