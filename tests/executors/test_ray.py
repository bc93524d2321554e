"""Trials on Ray: a cluster on 127.0.0.1, workers and nodes that are lost, with and without a shared store."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, TINY_GRID

from mousterian.errors import InputError
from mousterian.executors.backends import _ray_cluster, ray
from mousterian.executors.job_queue import JobQueue
from mousterian.executors.jobs import Job, PoolJob, TrialJob, jobs_of
from mousterian.executors.run import run_trials
from mousterian.store.rows import Store
from mousterian.store.schema import COLUMNS
from mousterian.trials import grid
from mousterian.trials.settings import Settings

installed = pytest.mark.skipif(find_spec("ray") is None, reason="the package ray is not installed")
# What a trial is and what came of it; the rest says how long it took, where and when.
SAME = [c.name for c in COLUMNS if c.group in {"identity", "result", "status"}] + ["steps", "images_seen"]


def rows(store: Path) -> pd.DataFrame:
    found = Store(store).read().sort_values("trial").reset_index(drop=True)
    return found.assign(per_class=found["per_class"].map(tuple))[SAME]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mousterian", *map(str, arguments)]


def run_grid(file: Path, store: Path, *options: object, **more: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command("grid", file, "--store", store, *options),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **more,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny grid's file and, under `local`, its store as the local executor makes it."""
    made = tmp_path_factory.mktemp("ray")
    (made / "tiny.toml").write_text(TINY_GRID)
    run_grid(made / "tiny.toml", made / "local", "--workers", 2)
    return made


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.lost: list[str] = []
        self.errors: dict[str, str] = {}

    def started(self, job: Job) -> None:
        self.begun.append(job.key)

    def finished(self, job: Job, seconds: float) -> None:
        self.done.append(job.key)

    def failed(self, job: Job, error: str) -> None:
        self.errors[job.key] = error

    def postponed(self, job: Job) -> None:
        self.lost.append(job.key)

    def notice(self, text: str) -> None:
        pass

    def stopping(self) -> None:
        pass


@pytest.fixture
def planned(folder: Path) -> list[Job]:
    return jobs_of(grid.read(folder / "tiny.toml")[0], settings(folder))


def settings(store: Path) -> Settings:
    return Settings(store, None, "cpu", "tiny")


def test_trials_wait_for_their_pool_and_share_its_failure(planned: list[Job], tmp_path: Path) -> None:
    listener = Recorder()
    queue = JobQueue(planned, settings(tmp_path), listener)
    pools = [queue.take(10), queue.take(10)]
    assert [[type(job) for job in batch] for batch in pools] == [[PoolJob], [PoolJob]]
    free = queue.take(100)
    assert len(free) == 8 and not any(job.needs for job in free)
    queue.finished(pools[0][0], 1.0)
    assert {job.needs for job in queue.take(100)} == {pools[0][0].key}
    queue.failed(pools[1][0], "no weights")
    assert not queue.take(100)
    failed = Store(tmp_path).read()
    assert len(failed) == 2 and set(failed["error"]) == {"its pool could not be made: no weights"}


def test_a_lost_job_goes_back_to_its_place(planned: list[Job], tmp_path: Path) -> None:
    queue = JobQueue([job for job in planned if not job.needs][2:], settings(tmp_path), Recorder())
    first, second = queue.take(2)
    queue.put_back(second)
    queue.put_back(first)
    assert queue.take(2) == [first, second]


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "slots"),
    [
        ({"CPU": 8}, 1, 0, 8),
        ({"CPU": 8}, 0.1, 0, 80),
        ({"CPU": 8, "GPU": 1}, 1, 0.25, 4),
        ({"CPU": 2, "GPU": 4}, 1, 0.25, 2),
        ({"CPU": 8}, 1, 1, 0),
    ],
)
def test_room_is_what_fits_side_by_side(
    resources: Mapping[str, float], cpus: float, gpus: float, slots: int
) -> None:
    assert _ray_cluster.Room(cpus, gpus).slots(resources) == slots


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, planned: list[Job]) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'mousterian\[ray\]'"):
        ray.run(planned, settings(Path("unused")), Recorder())


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("gpus_per_trail=1", "did you mean 'gpus_per_trial'"),
        ("gpus_per_trial=-1", "must be more than 0"),
        ("gpus_per_trial=1.5", "above 1 is a whole number"),
        ("shared_store=perhaps", "'perhaps' is not bool"),
        ("workers=3", "an option of its own: --workers"),
        ("address", "KEY=VALUE"),
    ],
)
def test_options_that_cannot_be_are_refused(option: str, told: str, folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command("grid", folder / "tiny.toml", "--store", tmp_path / "store", "--executor", "ray",
                "--executor-option", option),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "store" / "trials").exists()


@installed
@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:1", "refused"),
        ("127.0.0.1:99999", ""),
        ("nonsense", "Invalid address"),
        ("local", "one of its own"),
    ],
)
def test_a_cluster_that_is_not_there_is_named_at_once(
    address: str, told: str, planned: list[Job], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"no Ray cluster can be reached: .*{told}") as caught:
        ray.run(planned, settings(tmp_path), Recorder(), address=address)
    assert caught.value.where == f"address {address}"
    assert "ray start --head --node-ip-address=127.0.0.1" in caught.value.hint


@installed
def test_without_any_cluster_none_is_started(
    planned: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._private import services

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(services, "find_gcs_addresses", cache(frozenset))  # of others on this machine
    monkeypatch.setattr(services, "find_bootstrap_address", lambda folder: None)
    with pytest.raises(InputError, match="Could not find any running Ray instance") as caught:
        ray.run(planned, settings(tmp_path), Recorder())
    assert caught.value.where == "address auto" and "RAY_ADDRESS" in caught.value.hint


def of_session(leader: int) -> set[int]:
    """The processes of a session that still run."""
    ps = ["ps", "-o", "pid=,stat=", "--sid", str(leader)]
    listed = subprocess.run(ps, capture_output=True, text=True, check=False).stdout  # 1 if there is none
    found = [line.split() for line in listed.splitlines()]
    return {int(process) for process, state in found if not state.startswith("Z")}


@contextmanager
def node(
    environment: dict[str, str], log: Path, *options: str, ip: str, cpus: int, before: Sequence[str] = ()
) -> Iterator[int]:
    """A node of Ray in a session of its own, once it says that it runs; all of it ends with the context."""
    ray = [*before, sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    room = [f"--num-cpus={cpus}", "--object-store-memory=100000000"]
    with log.open("w") as output:
        leader = subprocess.Popen(
            [*ray, f"--node-ip-address={ip}", *room, *options],
            env=environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while "Ray runtime started" not in log.read_text():
            assert leader.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield leader.pid
    finally:
        while left := of_session(leader.pid):
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)
        leader.wait()


def listened_to(processes: set[int]) -> set[str]:
    """Addresses, in the kernel's hexadecimal, that the processes listen on, one for each port and address."""
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


@pytest.fixture(scope="module", autouse=True)
def access() -> Iterator[None]:
    """What a cluster on 127.0.0.1 and its runs share; Ray reads it once, when a test first imports it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[int]:
    """A cluster that the tests below share, connected to; its workers can import this file."""
    paths = os.pathsep.join(
        [str(ROOT / "tests" / "executors"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    )
    environment = {**os.environ, "PYTHONPATH": paths.rstrip(os.pathsep)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    short = tempfile.mkdtemp(prefix="mt-ray-")  # sockets want short paths
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

    def test_started_as_the_error_says_it_listens_on_loopback_alone(self, cluster: int) -> None:
        import ray as package

        assert {node["NodeManagerAddress"] for node in package.nodes()} == {"127.0.0.1"}
        loopback = {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, also as IPv6 writes it
        assert listened_to({*of_session(cluster), os.getpid()}) <= loopback

    def test_a_grid_begun_on_local_and_finished_here_has_the_rows_of_one_run(
        self, folder: Path, tmp_path: Path
    ) -> None:
        run_grid(folder / "tiny.toml", tmp_path, "--only", "n_base=20", "--seeds", 1, "--workers", 1)
        begun = Store(tmp_path).read().set_index("trial")["finished_at"]
        assert len(begun) == 3
        trials, _ = grid.read(folder / "tiny.toml")
        left = [trial for trial in trials if trial.key not in begun]
        listener = Recorder()
        run_trials(left, settings(tmp_path), listener, executor="ray", workers=2)
        assert set(listener.done) >= {trial.key for trial in left} and not listener.errors
        pd.testing.assert_frame_equal(rows(tmp_path), rows(folder / "local"), check_exact=True)
        after = Store(tmp_path).read().set_index("trial")["finished_at"]
        assert (after[begun.index] == begun).all()  # not run again

    def test_without_a_shared_store_rows_come_back_and_pools_stay(self, folder: Path, tmp_path: Path) -> None:
        trials, _ = grid.read(folder / "tiny.toml")
        store, scratch, listener = tmp_path / "store", tmp_path / "scratch", Recorder()
        options = ("shared_store=false", f"scratch={scratch}")
        run_trials(trials, settings(store), listener, executor="ray", workers=2, executor_options=options)
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
        ray.run([once, always, third], settings(tmp_path / "store"), listener, max_retries=1)
        assert set(listener.done) == {once.key, third.key}
        assert {once.key, always.key} <= set(listener.lost)
        assert "worker or node was lost" in listener.errors[always.key]
        assert Store(tmp_path / "store").status() == {
            once.key: "done", third.key: "done", always.key: "failed"
        }  # fmt: skip

    def test_a_trial_of_two_devices_has_two_cores_and_one_of_300_no_room(
        self, planned: list[Job], tmp_path: Path
    ) -> None:
        first = next(job.trial for job in planned if isinstance(job, TrialJob))

        def asking(devices: int) -> TrialJob:
            asked = replace(first, recipe={**first.recipe, "devices": devices})
            return TrialJob(asked, asked.key, asked.label)

        ray.run([asking(2)], settings(tmp_path), listener := Recorder())
        assert listener.done == [first.key], listener.errors
        assert Store(tmp_path).read().iloc[0]["device"] == "2 × cpu"
        with pytest.raises(InputError, match="a trial of 300 devices does not fit into the cluster"):
            ray.run([asking(300)], settings(tmp_path / "other"), Recorder())

    def test_no_room_is_said_before_anything_runs(self, planned: list[Job], tmp_path: Path) -> None:
        with pytest.raises(InputError, match="each reserves 1 cores and 3 devices"):
            ray.run(planned, settings(tmp_path), Recorder(), gpus_per_trial=3)
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
            ray.run(jobs, settings(tmp_path / "store"), listener, workers=2)
        assert listener.begun and len(listener.begun) < len(jobs) and not listener.errors
        finished = set(listener.begun) if times == 1 else set()
        assert finished == set(listener.done) == set(Store(tmp_path / "store").status())
        workers = [int(path.read_text()) for path in (tmp_path / "store").glob("*.runs")]
        deadline = time.monotonic() + 10
        while times == 2 and any(Path(f"/proc/{each}").exists() for each in workers):
            assert time.monotonic() < deadline
            time.sleep(0.1)


class Pressing(Recorder):
    """A listener that presses Ctrl-C after the first trial began."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def started(self, job: Job) -> None:
        super().started(job)
        if len(self.begun) == 1:
            threading.Thread(target=self._press, daemon=True).start()

    def _press(self) -> None:
        for _ in range(self.times):
            time.sleep(2.0 if self.times == 2 else 0.2)
            os.kill(os.getpid(), signal.SIGINT)


class Sleepy(TrialJob):
    """A trial that only sleeps, and says in the store's folder who runs it."""

    def __init__(self, *fields: object, seconds: float) -> None:
        super().__init__(*fields)  # type: ignore[arg-type]
        object.__setattr__(self, "seconds", seconds)

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        (settings.store / f"{self.key}.runs").write_text(str(os.getpid()))
        time.sleep(self.seconds)  # type: ignore[attr-defined]
        row = {"trial": self.key, "status": "done", "evaluation": "accuracy", "top1": 0.5}
        Store(settings.store).write([row])


class Deadly(TrialJob):
    """A trial that kills its worker: always, or until its mark is there."""

    def __init__(self, *fields: object, mark: str = "") -> None:
        super().__init__(*fields)  # type: ignore[arg-type]
        object.__setattr__(self, "mark", mark)

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        mark = Path(self.mark)  # type: ignore[attr-defined]
        if not self.mark or not mark.exists():  # type: ignore[attr-defined]
            if self.mark:  # type: ignore[attr-defined]
                mark.touch()
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        super().execute(settings, wait=wait)
