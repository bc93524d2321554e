"""The job queue, what a trial reserves of a Ray cluster, and options that are refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from conftest import TINY_GRID
from ray_cluster import access, installed
from running import Recorder, command, settings_of, trials_of

from mousterian.errors import InputError
from mousterian.executors.backends import _ray_cluster, ray
from mousterian.executors.job_queue import JobQueue
from mousterian.executors.jobs import Job, PoolJob, jobs_of
from mousterian.store.rows import Store

__all__ = ["access"]  # a fixture


@pytest.fixture
def planned(tmp_path: Path) -> list[Job]:
    return jobs_of(trials_of(tmp_path, TINY_GRID), settings_of(tmp_path))


def test_trials_wait_for_their_pool_and_share_its_failure(planned: list[Job], tmp_path: Path) -> None:
    listener = Recorder()
    queue = JobQueue(planned, settings_of(tmp_path), listener)
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


def test_a_lost_job_returns_to_its_position(planned: list[Job], tmp_path: Path) -> None:
    queue = JobQueue([job for job in planned if not job.needs][2:], settings_of(tmp_path), Recorder())
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
def test_a_reservation_fits_as_often_as_the_resources_allow(
    resources: Mapping[str, float], cpus: float, gpus: float, slots: int
) -> None:
    assert _ray_cluster.Reservation(cpus, gpus).slots(resources) == slots


def test_a_missing_package_is_reported_with_the_extra_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, planned: list[Job]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'mousterian\[ray\]'"):
        ray.run(planned, settings_of(Path("unused")), Recorder())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("gpus_per_trail=1", "did you mean 'gpus_per_trial'"),
        ("gpus_per_trial=-1", "must be more than 0"),
        ("gpus_per_trial=1.5", "above 1 must be a whole number"),
        ("shared_store=perhaps", "'perhaps' is not bool"),
        ("workers=3", "an option of its own: --workers"),
        ("address", "KEY=VALUE"),
    ],
)
def test_invalid_options_are_refused(option: str, message: str, tiny_grid: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command("grid", tiny_grid, "--store", tmp_path / "store", "--executor", "ray",
                "--executor-option", option),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "store" / "trials").exists()


@installed
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "refused"),
        ("127.0.0.1:99999", ""),
        ("nonsense", "Invalid address"),
        ("local", "one of its own"),
    ],
)
def test_an_unreachable_cluster_is_reported_at_once(
    address: str, message: str, planned: list[Job], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"no Ray cluster can be reached: .*{message}") as caught:
        ray.run(planned, settings_of(tmp_path), Recorder(), address=address)
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
        ray.run(planned, settings_of(tmp_path), Recorder())
    assert caught.value.where == "address auto" and "RAY_ADDRESS" in caught.value.hint
