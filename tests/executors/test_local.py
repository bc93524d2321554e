"""Grids on this machine through the command line: repeated, killed, interrupted, failing, in any order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, TINY_GRID
from running import alive, command, holds_within, install, mousterian, rows

from mousterian.files import file_lock
from mousterian.store.rows import Store
from mousterian.trials import grid


def grid_json(
    file: Path, store: Path, *options: object, site: Path | None = None
) -> tuple[int, dict[str, int]]:
    done = mousterian("grid", file, "--store", store, "--json", *options, site=site)
    assert done.stdout.startswith("{"), done.stderr
    return done.returncode, json.loads(done.stdout)


def children_of(process: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in listed.stdout.split()]


def descendants_of(process: int) -> list[int]:
    return [pid for child in children_of(process) for pid in (child, *children_of(child))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the tiny grid, run by two workers; the grid file lies beside it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(TINY_GRID)
    code, outcome = grid_json(folder / "tiny.toml", folder / "store", "--workers", 2)
    assert (code, outcome["run"], outcome["failed"]) == (0, 12, 0)
    return folder


def test_a_finished_grid_runs_nothing_again(finished: Path) -> None:
    code, outcome = grid_json(finished / "tiny.toml", finished / "store")
    assert (code, outcome["run"], outcome["already_done"]) == (0, 0, 12)


def test_another_grid_that_asks_for_a_finished_trial_does_not_run_it(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(TINY_GRID.replace("n_base = [20, 40]", "n_base = 40"))
    _, outcome = grid_json(tmp_path / "other.toml", finished / "store")
    assert (outcome["run"], outcome["already_done"]) == (0, 6)


def test_rows_do_not_depend_on_workers_or_order(finished: Path, tmp_path: Path) -> None:
    reordered = TINY_GRID.replace("[20, 40]", "[40, 20]").replace("[0, 1]", "[1, 0]")
    (tmp_path / "reordered.toml").write_text(reordered)
    code, _ = grid_json(tmp_path / "reordered.toml", tmp_path / "store", "--workers", 1)
    assert code == 0
    pd.testing.assert_frame_equal(rows(tmp_path / "store"), rows(finished / "store"), check_exact=True)


def test_a_dry_run_lists_cells_and_estimates_the_time(finished: Path) -> None:
    done = mousterian(
        "grid", finished / "tiny.toml", "--store", finished / "store", "--dry-run", "--json", "--seeds", 3
    )
    listed = json.loads(done.stdout)
    assert listed["trials"] == {"new": 6, "done": 12, "diverged": 0, "failed": 0}
    assert {(cell["new"], cell["done"]) for cell in listed["cells"]} == {(1, 2)}
    assert listed["estimate"]["source"] == "finished trials of the same kind"
    assert listed["estimate"]["training_seconds"] >= 0


@pytest.fixture
def running(tiny_grid: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A grid in another process with at least two trials finished, and its store."""
    store = tiny_grid.parent / "store"
    process = subprocess.Popen(
        command("grid", tiny_grid, "--store", store, "--workers", 2),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert holds_within(200, lambda: len(list(store.glob("trials/*.done.parquet"))) >= 2)
    yield process, store
    process.kill()
    process.communicate()


def test_killed_in_the_middle_only_the_missing_trials_run(
    running: tuple[subprocess.Popen[str], Path], tiny_grid: Path, finished: Path
) -> None:
    process, store = running
    workers = descendants_of(process.pid)
    assert len(workers) >= 3  # the fork server and two workers at least
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert holds_within(5, lambda: not any(map(alive, workers)))
    before = set(Store(store).status())
    assert 2 <= len(before) < 12
    code, outcome = grid_json(tiny_grid, store)
    assert (code, outcome["run"], outcome["already_done"]) == (0, 12 - len(before), len(before))
    pd.testing.assert_frame_equal(rows(store), rows(finished / "store"), check_exact=True)


def test_a_pool_that_another_grid_is_making_delays_only_its_own_trials(
    tiny_grid: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    trials = grid.read(tiny_grid)[0]
    pools = {pool.key for trial in trials if (pool := trial.pool())}
    theirs, *others = sorted(pools)
    assert others
    free = {trial.key for trial in trials if (pool := trial.pool()) is None or pool.key != theirs}
    (store / "pools" / theirs).mkdir(parents=True)
    with file_lock(store / "pools" / theirs / "lock"):  # as a grid that is making it
        process = subprocess.Popen(
            command("grid", tiny_grid, "--store", store, "--workers", 1),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert holds_within(120, lambda: set(Store(store).status()) == free)
            assert process.poll() is None
        except BaseException:
            process.kill()
            raise
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert output.count("pool later: ") == 1
    assert set(Store(store).status()) == {trial.key for trial in trials}


def test_ctrl_c_lets_running_trials_finish_and_prints_how_to_resume(
    running: tuple[subprocess.Popen[str], Path],
) -> None:
    process, store = running
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"mousterian grid {store.parent / 'tiny.toml'} --store {store}" in output
    assert "Traceback" not in output
    assert set(Store(store).status().values()) == {"done"}
    assert not list(Store(store).verify())


FAILING = """
import os, signal, time
from mousterian.training.strategies.joint import train as joint
def train(model, task, *, note: str = ""):
    if note == "sleep":
        time.sleep(600)
    if len(task.mixture) == 40 and task.training_seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if len(task.mixture) == 80 and task.training_seed == 1:
        raise RuntimeError("the strategy failed")
    return joint(model, task)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with a strategy that fails on some trials."""
    return install(tmp_path / "site", "failing", FAILING, "failing = failing")


def test_workers_in_long_trials_die_with_their_supervisor(site: Path, tmp_path: Path) -> None:
    file, store = tmp_path / "own.toml", tmp_path / "store"
    sleeping = 'strategy = {name = "failing", note = "sleep"}'
    file.write_text(TINY_GRID.partition("[generator]")[0].replace("r_syn = [2]", sleeping))
    environment = {**os.environ, "PYTHONPATH": str(site)}
    process = subprocess.Popen(
        command("grid", file, "--store", store, "--workers", 2), env=environment, stdout=subprocess.DEVNULL
    )
    # The resource tracker, the fork server and two workers.
    assert holds_within(120, lambda: len(descendants_of(process.pid)) >= 4)
    time.sleep(3)
    workers = descendants_of(process.pid)
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert holds_within(5, lambda: not any(map(alive, workers)))


def test_a_missing_device_stops_the_grid_and_fails_no_trial(tiny_grid: Path, tmp_path: Path) -> None:
    done = mousterian("grid", tiny_grid, "--store", tmp_path / "store", "--device", "banana")
    assert done.returncode == 2
    assert "the device 'banana' cannot be used" in done.stderr
    assert not (tmp_path / "store" / "trials").exists()


def test_a_failed_trial_is_recorded_with_its_error_and_the_others_run(site: Path, tmp_path: Path) -> None:
    alone = TINY_GRID.partition("[generator]")[0].replace("r_syn = [2]", 'strategy = "failing"')
    file, store = tmp_path / "own.toml", tmp_path / "store"
    file.write_text(alone)
    code, outcome = grid_json(file, store, "--workers", 1, site=site)
    assert (code, outcome["run"], outcome["failed"]) == (3, 5, 3)
    found = Store(store).read()
    failed = found[found["status"] == "failed"].set_index(["n_base", "n_real_plus", "training_seed"])["error"]
    assert set(failed.index) == {(20, 20, 1), (40, 0, 1), (40, 40, 1)}
    assert "worker process died (exit code -9)" in failed[20, 20, 1]
    assert "the strategy failed" in failed[40, 40, 1]
    code, outcome = grid_json(file, store, site=site)
    assert (code, outcome["run"], outcome["already_failed"]) == (3, 0, 3)
    (site / "failing.py").write_text(FAILING.replace("seed == 1", "seed == 9"))
    code, outcome = grid_json(file, store, "--retry-failed", "--workers", 1, site=site)
    assert (code, outcome["run"], outcome["failed"]) == (0, 3, 0)
    assert set(Store(store).status().values()) == {"done"}


def test_a_pool_that_cannot_be_made_fails_its_trials_alone(tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    text = TINY_GRID.partition("[generator]")[0] + '[generator]\nname = "precomputed"\npath = "nowhere"\n'
    file.write_text(text)
    code, outcome = grid_json(file, tmp_path / "store")
    assert (code, outcome["run"], outcome["failed"]) == (3, 8, 4)
    found = Store(tmp_path / "store").read()
    assert found.loc[found["status"] == "failed", "error"].str.contains("no such pool").all()


def test_a_store_that_cannot_be_written_stops_the_grid_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    file = tmp_path / "grid.toml"
    file.write_text(TINY_GRID.partition("[generator]")[0].replace("r_syn = [2]", ""))
    done = mousterian("grid", file, "--store", tmp_path / "store")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout
    assert str(tmp_path / "store") in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gird", "x.toml"), "did you mean 'grid'"),
        (("grid", "none.toml"), "cannot read the grid file"),
        (("grid",), "--file requires an argument"),
        (("grid", ROOT / "grids/quickstart.toml", "--wrokers", "2"), "--wrokers"),
        (("grid", ROOT / "grids/quickstart.toml", "--executor", "locl"), "did you mean 'local'"),
        (("list", "modles"), "did you mean 'models'"),
        (("data", "digit"), "did you mean 'digits'"),
        (("fit", "--store", "nowhere"), "no trials here"),
        (("report", "none.json"), "no such fit"),
    ],
)
def test_bad_input_gets_a_message_and_exit_code_2(
    arguments: tuple[object, ...], message: str, tmp_path: Path
) -> None:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
