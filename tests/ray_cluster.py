"""A Ray node on this machine, for tests."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

installed = pytest.mark.skipif(find_spec("ray") is None, reason="the package ray is not installed")


def of_session(leader: int) -> set[int]:
    """Return the processes of a session that still run."""
    ps = ["ps", "-o", "pid=,stat=", "--sid", str(leader)]
    listed = subprocess.run(ps, capture_output=True, text=True, check=False).stdout  # 1 if there is none
    found = [line.split() for line in listed.splitlines()]
    return {int(process) for process, state in found if not state.startswith("Z")}


@contextmanager
def node(
    environment: dict[str, str], log: Path, *options: str, ip: str, cpus: int, before: Sequence[str] = ()
) -> Iterator[int]:
    """Start a Ray node in a session of its own and wait until it runs; all of it ends with the context."""
    ray = [*before, sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    resources = [f"--num-cpus={cpus}", "--object-store-memory=100000000"]
    with log.open("w") as output:
        leader = subprocess.Popen(
            [*ray, f"--node-ip-address={ip}", *resources, *options],
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


@pytest.fixture(scope="module", autouse=True)
def access() -> Iterator[None]:
    """Environment of a cluster on 127.0.0.1 and its runs; Ray reads it once, when it is first imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield
