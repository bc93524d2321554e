"""Faulty disks, locks, clocks and devices: each has an error message, and nothing recorded is lost."""

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
from running import ALONE, ODD, Recorder, command, mousterian, odd_site, run_odd

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.executors.run import run_trials
from mousterian.files import LockTakenError, lock_position
from mousterian.store import schema
from mousterian.store.rows import Store
from mousterian.store.schema import DIVERGED, DONE, FAILED
from mousterian.trials import checks, grid
from mousterian.trials.settings import Settings


def row(trial: str, status: str = DONE, **values: Any) -> dict[str, Any]:
    return {"trial": trial, "status": status, "evaluation": "accuracy", "top1": 0.5, **values}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return odd_site(tmp_path)


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
    done = run_odd(site, "return joint(model, task)", "--workers", "1")
    store = Store(site.parent / "store")
    assert done.returncode == 2
    assert "No space left on device" in done.stderr and "free space" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(store.status().values()) == [DONE] * 3
    assert not list(store.verify())
    (site / "sitecustomize.py").unlink()
    again = run_odd(site, "return joint(model, task)")
    assert (json.loads(again.stdout)["run"], json.loads(again.stdout)["already_done"]) == (5, 3)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_store_that_cannot_be_written_reports_it_and_can_be_read(
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


def test_leftovers_of_interrupted_writes_are_deleted_when_nobody_writes(tmp_path: Path) -> None:
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
    (site / "odd.py").write_text(ODD.format(body=body))
    file = site.parent / "odd.toml"
    file.write_text(ALONE)
    one = command("grid", file, "--store", site.parent / "store", "--json", "--workers", 1)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    grids = [subprocess.Popen(one, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outcomes = [json.loads(each.communicate(timeout=300)[0]) for each in grids]
    assert [each.returncode for each in grids] == [0, 0]
    assert [each["left"] + each["failed"] for each in outcomes] == [0, 0]
    assert len(Store(site.parent / "store").read()) == 8
    trained = sum(
        len(list(site.glob(f"{pid}-*.ran"))) for pid in {p.name.split("-")[0] for p in site.glob("*.ran")}
    )
    assert trained <= 8


def test_a_file_system_without_locks_is_reported_and_used(
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
    listener = Recorder()
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


def test_jumping_clocks_do_not_decide_which_row_counts(tmp_path: Path) -> None:
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
    done = mousterian("grid", tiny_grid, "--store", store)
    assert done.returncode == 2
    assert "newer mousterian" in done.stderr and "update mousterian" in done.stderr
    assert [path.name for path in store.iterdir()] == ["store.json"]


def test_a_diverged_trial_is_a_result_that_is_run_again_only_when_asked(site: Path) -> None:
    run_odd(site, "return joint(model, task)")
    store = Store(site.parent / "store")
    chosen = sorted(store.status())[0]
    (store.trials / f"{chosen}.done.parquet").unlink()
    store.write([row(chosen, DIVERGED, error="the loss was nan at step 3")])
    again = run_odd(site, "return joint(model, task)")
    assert again.returncode == 0
    assert (json.loads(again.stdout)["run"], json.loads(again.stdout)["diverged"]) == (0, 1)
    asked = run_odd(site, "return joint(model, task)", "--retry-failed")
    assert (json.loads(asked.stdout)["run"], json.loads(asked.stdout)["diverged"]) == (1, 0)


@pytest.mark.parametrize(
    ("shape", "names", "message"),
    [((8, 9, 1), ("a", "b"), "its test images"), ((8, 8, 1), ("a", "c"), "different classes: b, c")],
)
def test_splits_that_do_not_match_are_refused_before_anything_trains(
    tiny_grid: Path, monkeypatch: pytest.MonkeyPatch, shape: Any, names: Any, message: str
) -> None:
    def made(dataset: Any, split: str, folder: Any) -> ImageSet:
        side, classes = ((8, 8, 1), ("a", "b")) if split == "train" else (shape, names)
        return ImageSet(np.zeros((90, *side), dtype=np.uint8), np.arange(90) % 2, classes)

    trials, source = grid.read(tiny_grid)
    monkeypatch.setattr(checks, "load_images", made)
    with pytest.raises(InputError, match=message):
        checks.check_sizes(trials, source, None)


def test_trials_have_locks_of_their_own() -> None:
    assert lock_position("f" * 16) < 2**63
    assert len({lock_position(f"{number:016x}") for number in range(0, 4096, 2)}) == 2048
