"""A Ray cluster of two nodes, on loopback in a network namespace of its own, one killed in the middle.

Needs root and minutes: MOUSTERIAN_RAY_TESTS=1 pytest tests/executors/test_ray_nodes.py
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from ray_cluster import installed, node
from running import command, holds_within, install, rows, run_grid

from mousterian.store.rows import Store

NAMESPACE = f"mousterian-{os.getpid()}"
HEAD, SECOND, PORT = "10.77.0.1", "10.77.0.2", 6399
# A slow strategy, which writes a file when it starts.
SLOW = """
import os, time, uuid
from pathlib import Path
from mousterian.training.strategies.joint import train as joint
def train(model, task, *, log: str = "", seconds: float = 0.5):
    name = f"{task.n_base}-{len(task.mixture)}-{task.training_seed}-{uuid.uuid4().hex}"
    (Path(log) / name).write_text(str(os.getppid()))
    time.sleep(seconds)
    return joint(model, task)
"""
GRID = """
dataset = "digits"
n_base = [20, 40, 60, 80]
r_real = [1]
model = {{name = "small_cnn", width = 4}}
recipe = {{name = "small", iterations = 4, batch_size = 16}}
strategy = {{name = "slow", log = "{log}"}}
training_seeds = [0, 1, 2, 3, 4]
"""


def reason_to_skip() -> str:
    """Return why the tests of this file cannot run, or an empty text."""
    if os.environ.get("MOUSTERIAN_RAY_TESTS") != "1":
        return "takes minutes and root; MOUSTERIAN_RAY_TESTS=1 runs it"
    if shutil.which("ip") is None or os.geteuid() != 0:
        return "needs root and `ip netns`"
    probe = subprocess.run(["ip", "netns", "add", NAMESPACE], capture_output=True, check=False)
    if probe.returncode != 0:
        return f"no network namespace can be made here: {probe.stderr.decode().strip()}"
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)
    return ""


REASON = reason_to_skip()
pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.skipif(bool(REASON), reason=REASON), installed]


def inside() -> list[str]:
    """Return the prefix of a command that runs in the namespace."""
    return ["ip", "netns", "exec", NAMESPACE]


def processes_inside() -> list[int]:
    """Return all processes in the namespace."""
    listed = subprocess.run(["ip", "netns", "pids", NAMESPACE], capture_output=True, text=True, check=True)
    return [int(process) for process in listed.stdout.split()]


def raylet_of_second() -> int:
    """Return the process id of the second node's main process."""
    for process in processes_inside():
        arguments = Path(f"/proc/{process}/cmdline").read_text().split("\0")
        if arguments[0].endswith("/raylet") and f"--node_ip_address={SECOND}" in arguments:
            return process
    raise AssertionError("the second node does not run")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A cluster of two nodes of one core each; the environment for processes that connect to it."""
    site = install(tmp_path / "site", "slow", SLOW, "slow = slow")
    paths = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = {**os.environ, **token, "PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0"}
    folder = Path(tempfile.mkdtemp(prefix="mt-ray-"))  # socket paths must be short
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    for arguments in ("link set lo up", f"addr add {HEAD}/32 dev lo", f"addr add {SECOND}/32 dev lo"):
        subprocess.run(["ip", "-n", NAMESPACE, *arguments.split()], check=True)
    first = ("--head", f"--port={PORT}", f"--temp-dir={folder}", "--include-dashboard=false")
    other = f"--address={HEAD}:{PORT}"
    try:
        with (
            node(environment, tmp_path / "head.log", *first, ip=HEAD, cpus=1, before=inside()),
            node(environment, tmp_path / "second.log", other, ip=SECOND, cpus=1, before=inside()),
        ):
            yield environment
    finally:
        for process in processes_inside():
            os.kill(process, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_node_killed_in_the_middle_costs_only_what_it_was_running(
    environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.mkdir()
    file = tmp_path / "slow.toml"
    file.write_text(GRID.format(log=log))
    address = f"address={HEAD}:{PORT}"
    on_ray = command(
        "grid", file, "--store", tmp_path / "ray", "--executor", "ray", "--executor-option", address
    )
    process = subprocess.Popen(
        [*inside(), *on_ray],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert holds_within(120, lambda: len(list(tmp_path.glob("ray/trials/*.parquet"))) >= 8)
    where = Counter(path.read_text() for path in log.iterdir())
    assert len(where) == 2  # both nodes have run trials
    os.kill(raylet_of_second(), signal.SIGKILL)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert Counter(Store(tmp_path / "ray").status().values()) == {"done": 40}
    assert not list(Store(tmp_path / "ray").verify())
    tries = Counter(path.name.rpartition("-")[0] for path in log.iterdir())
    assert len(tries) == 40 and sum(tries.values()) <= 42  # what the lost node was running ran twice
    run_grid(file, tmp_path / "local", "--workers", 2, env=environment)
    pd.testing.assert_frame_equal(rows(tmp_path / "ray"), rows(tmp_path / "local"), check_exact=True)


def trials_inside() -> list[int]:
    """Return the workers that run trials: Ray names them after their task."""
    return [
        each
        for each in processes_inside()
        if b"ray::_run_batch" in Path(f"/proc/{each}/cmdline").read_bytes()
    ]


def test_a_killed_grid_leaves_no_trial_running_and_resumes_with_the_same_command(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "log").mkdir()
    file = tmp_path / "slow.toml"
    file.write_text(GRID.format(log=tmp_path / "log"))
    on_ray = [*inside(), *command("grid", file, "--store", tmp_path / "store", "--executor", "ray")]
    environment = {**environment, "RAY_ADDRESS": f"{HEAD}:{PORT}"}
    process = subprocess.Popen(on_ray, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert holds_within(120, lambda: len(list(tmp_path.glob("store/trials/*.parquet"))) >= 3)
    assert trials_inside()
    process.kill()
    process.wait()
    assert holds_within(5, lambda: not trials_inside())
    assert not list(Store(tmp_path / "store").verify())
    subprocess.run(on_ray, env=environment, check=True, timeout=200, capture_output=True)
    assert Counter(Store(tmp_path / "store").status().values()) == {"done": 40}


def test_without_the_token_no_one_can_connect(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "slow.toml"
    file.write_text(GRID.format(log=tmp_path))
    stranger = {**environment, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    on_ray = command("grid", file, "--store", tmp_path / "s", "--executor", "ray", "--executor-option")
    done = subprocess.run(
        [*inside(), *on_ray, f"address={HEAD}:{PORT}"],
        env=stranger, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and "no Ray cluster can be reached" in done.stderr
    assert "Traceback" not in done.stderr
