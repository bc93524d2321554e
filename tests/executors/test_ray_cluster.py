"""Trials on a Ray cluster on 127.0.0.1: lost workers, Ctrl-C, with and without a shared store."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, TINY_GRID
from ray_cluster import access, installed, node, of_session
from running import Deadly, Pressing, Recorder, Sleepy, alive, holds_within, rows, run_grid, settings_of

from mousterian.errors import InputError
from mousterian.executors.backends import _ray_cluster, ray
from mousterian.executors.jobs import Job, TrialJob, jobs_of
from mousterian.executors.run import run_trials
from mousterian.store.rows import Store
from mousterian.trials import grid

__all__ = ["access"]  # a fixture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny grid's file and, under `local`, its store as the local executor makes it."""
    made = tmp_path_factory.mktemp("ray")
    (made / "tiny.toml").write_text(TINY_GRID)
    run_grid(made / "tiny.toml", made / "local", "--workers", 2)
    return made


@pytest.fixture
def planned(folder: Path) -> list[Job]:
    return jobs_of(grid.read(folder / "tiny.toml")[0], settings_of(folder))


def listened_to(processes: set[int]) -> set[str]:
    """Return the addresses, in the kernel's hexadecimal, that the processes listen on."""
    sockets = set()
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").glob("*"):
            with suppress(OSError):
                sockets.add(str(descriptor.readlink()))
    tables = [Path(f"/proc/net/{table}").read_text().splitlines() for table in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table]
    listening = [line for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets]
    assert len(listening) > 3
    return {line[1].partition(":")[0] for line in listening}


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[int]:
    """A cluster that the tests below share, connected; its workers can import the tests' helpers."""
    paths = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths.rstrip(os.pathsep)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    short = tempfile.mkdtemp(prefix="mt-ray-")  # socket paths must be short
    options = ("--head", f"--port={port}", f"--temp-dir={short}", "--include-dashboard=false")
    try:
        with (
            node(environment, folder / "head.log", *options, ip="127.0.0.1", cpus=2) as leader,
            _ray_cluster.cluster(f"127.0.0.1:{port}"),
        ):
            yield leader
    finally:
        shutil.rmtree(short, ignore_errors=True)


@installed
@pytest.mark.usefixtures("cluster")
class TestCluster:
    """One node for all of these: starting it takes seconds."""

    def test_started_as_the_error_message_says_it_listens_on_loopback_only(self, cluster: int) -> None:
        import ray as package

        assert {node["NodeManagerAddress"] for node in package.nodes()} == {"127.0.0.1"}
        loopback = {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, also as IPv6 writes it
        assert listened_to({*of_session(cluster), os.getpid()}) <= loopback

    def test_a_grid_begun_locally_and_finished_here_has_the_rows_of_one_run(
        self, folder: Path, tmp_path: Path
    ) -> None:
        run_grid(folder / "tiny.toml", tmp_path, "--only", "n_base=20", "--seeds", 1, "--workers", 1)
        begun = Store(tmp_path).read().set_index("trial")["finished_at"]
        assert len(begun) == 3
        trials, _ = grid.read(folder / "tiny.toml")
        left = [trial for trial in trials if trial.key not in begun]
        listener = Recorder()
        run_trials(left, settings_of(tmp_path), listener, executor="ray", workers=2)
        assert set(listener.done) >= {trial.key for trial in left} and not listener.errors
        pd.testing.assert_frame_equal(rows(tmp_path), rows(folder / "local"), check_exact=True)
        after = Store(tmp_path).read().set_index("trial")["finished_at"]
        assert (after[begun.index] == begun).all()  # not run again

    def test_without_a_shared_store_rows_come_back_and_pools_stay(self, folder: Path, tmp_path: Path) -> None:
        trials, _ = grid.read(folder / "tiny.toml")
        store, scratch, listener = tmp_path / "store", tmp_path / "scratch", Recorder()
        options = ("shared_store=false", f"scratch={scratch}")
        run_trials(trials, settings_of(store), listener, executor="ray", workers=2, executor_options=options)
        assert not listener.errors
        pd.testing.assert_frame_equal(rows(store), rows(folder / "local"), check_exact=True)
        assert not (store / "pools").exists()
        assert len(list(scratch.glob("*/pools/*/shard-00000.npz"))) == 2
        assert not list(scratch.glob("*/trials/*"))

    def test_a_trial_whose_worker_dies_runs_again_and_then_fails_alone(
        self, planned: list[Job], tmp_path: Path
    ) -> None:
        first, second, third = [job for job in planned if isinstance(job, TrialJob) and not job.needs][:3]
        once = Deadly(first.trial, first.key, first.label, mark=str(tmp_path / "once"))
        always = Deadly(second.trial, second.key, second.label)
        listener = Recorder()
        ray.run([once, always, third], settings_of(tmp_path / "store"), listener, max_retries=1)
        assert set(listener.done) == {once.key, third.key}
        assert {once.key, always.key} <= set(listener.lost)
        assert "worker or node was lost" in listener.errors[always.key]
        assert Store(tmp_path / "store").status() == {
            once.key: "done", third.key: "done", always.key: "failed"
        }  # fmt: skip

    def test_a_trial_on_two_devices_has_two_cores_and_one_on_300_does_not_fit(
        self, planned: list[Job], tmp_path: Path
    ) -> None:
        first = next(job.trial for job in planned if isinstance(job, TrialJob))

        def on(devices: int) -> TrialJob:
            trial = replace(first, recipe={**first.recipe, "devices": devices})
            return TrialJob(trial, trial.key, trial.label)

        ray.run([on(2)], settings_of(tmp_path), listener := Recorder())
        assert listener.done == [first.key], listener.errors
        assert Store(tmp_path).read().iloc[0]["device"] == "2 × cpu"
        with pytest.raises(InputError, match="a trial of 300 devices does not fit into the cluster"):
            ray.run([on(300)], settings_of(tmp_path / "other"), Recorder())

    def test_trials_that_do_not_fit_are_refused_before_anything_runs(
        self, planned: list[Job], tmp_path: Path
    ) -> None:
        with pytest.raises(InputError, match="each reserves 1 cores and 3 devices"):
            ray.run(planned, settings_of(tmp_path), Recorder(), gpus_per_trial=3)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("times", [1, 2])
    def test_ctrl_c_lets_running_trials_finish_and_a_second_stops_them(
        self, times: int, planned: list[Job], tmp_path: Path
    ) -> None:
        seconds = 0.5 if times == 1 else 600.0
        trials = [job for job in planned if isinstance(job, TrialJob)]
        jobs = [Sleepy(job.trial, job.key, job.label, seconds=seconds) for job in trials]
        listener = Pressing(times)
        (tmp_path / "store").mkdir()
        with pytest.raises(KeyboardInterrupt):
            ray.run(jobs, settings_of(tmp_path / "store"), listener, workers=2)
        assert listener.begun and len(listener.begun) < len(jobs) and not listener.errors
        finished = set(listener.begun) if times == 1 else set()
        assert finished == set(listener.done) == set(Store(tmp_path / "store").status())
        workers = [int(path.read_text()) for path in (tmp_path / "store").glob("*.runs")]
        assert times == 1 or holds_within(10, lambda: not any(map(alive, workers)))
