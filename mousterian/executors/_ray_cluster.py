"""A Ray cluster for one run: connected to, or started on 127.0.0.1 and gone with the run."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from math import ceil, floor
from types import ModuleType
from typing import NamedTuple

from mousterian.errors import InputError
from mousterian.executors._ray_guard import guarded

LOOPBACK = "127.0.0.1"
SECONDS_TO_ANSWER = 5.0
OBJECT_STORE_BYTES = 100 * 2**20  # jobs and rows are small; Ray takes 30 % of the memory if not told
# Fixed before the numeric libraries are loaded, as sums over other threads give other last bits.
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_COMMON = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}
# Without the first, Ray takes 127.0.0.1 for this machine's outer address and listens on every interface.
_OWN = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}


class Room(NamedTuple):
    """What one trial reserves of the cluster."""

    cpus: float
    gpus: float

    def slots(self, resources: Mapping[str, float]) -> int:
        """Return how many trials fit side by side into a cluster's resources."""
        fits = [floor(resources.get("CPU", 0) / self.cpus + 1e-9)] if self.cpus else []
        if self.gpus:
            fits.append(floor(resources.get("GPU", 0) / self.gpus + 1e-9))
        return min(fits)

    def times(self, devices: int) -> Room:
        """Return the room of a trial that several devices train: whole ones, where they are accelerators."""
        if devices == 1:
            return self
        return Room(self.cpus * devices, devices * float(ceil(self.gpus)))


def package() -> ModuleType:
    """Import Ray.

    Raises:
        InputError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError(
            f"the executor 'ray' needs the package {error.name!r}", hint="pip install 'mousterian[ray]'"
        ) from None
    found: ModuleType = ray
    return found


@contextmanager
def cluster(address: str, workers: int, cpus: float) -> Iterator[ModuleType]:
    """Connect to a cluster, or start one of this process's own; give the package `ray`, connected.

    Args:
        address: of the cluster; empty: RAY_ADDRESS, else one of its own.
        workers: trials at a time that a cluster of its own must have room for.
        cpus: cores that each reserves.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be reached or started.
    """
    address = address or os.environ.get("RAY_ADDRESS", "")
    own = address in {"", "local"}
    with _environment({**_COMMON, **(_own_environment() if own else {})}):
        ray = package()
        if ray.is_initialized():
            yield ray
            return
        folder = tempfile.mkdtemp(prefix="mousterian-ray-") if own else ""
        with guarded(folder) if own else nullcontext():
            try:
                if own:
                    _start(ray, max(len(os.sched_getaffinity(0)), ceil(workers * cpus)), folder)
                else:
                    _connect(ray, address)
                yield ray
            finally:
                ray.shutdown()


def _own_environment() -> dict[str, str]:
    return {**_OWN, **_THREADS, "RAY_AUTH_TOKEN": os.environ.get("RAY_AUTH_TOKEN") or _token()}


@cache
def _token() -> str:
    """Return a secret; one a process, as Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which Ray hands on to all its processes, and take them back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


_QUIET = {"log_to_driver": False, "logging_level": "ERROR"}


def _start(ray: ModuleType, cpus: int, folder: str) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address=LOOPBACK,
            _temp_dir=folder,
            **_QUIET,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"Ray cannot be started here: {_first_line(error)}") from error
    address = ray.nodes()[0]["NodeManagerAddress"]
    if address != LOOPBACK:
        raise InputError(
            f"Ray listens on {address}, open to others, as it was imported before this run",
            hint="start the grid in a process of its own, or give the address of a cluster",
        )


_HINT = (
    "`ray status` tells whether it runs; it may want RAY_AUTH_MODE=token and RAY_AUTH_TOKEN,"
    " and the same versions of Ray and Python here and there"
)


def _knock(address: str) -> None:
    """Refuse at once an address where nothing listens: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "://" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster can be reached: {error}", where=address, hint=_HINT) from error


def _connect(ray: ModuleType, address: str) -> None:
    _knock(address)
    passed_on = {name: value for name, value in os.environ.items() if name.startswith("MOUSTERIAN_")}
    try:
        ray.init(address=address, runtime_env={"env_vars": {**_THREADS, **passed_on}}, **_QUIET)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(
            f"no Ray cluster can be reached: {_first_line(error)}",
            where=address,
            hint=_HINT,
        ) from error


def room_for(ray: ModuleType, device: str, cpus: float, gpus: float | None, most: int = 1) -> Room:
    """Return what a trial reserves: by default one device where trials want one.

    Args:
        ray: the package, connected.
        device: that the grid asks for.
        cpus: cores that a trial reserves.
        gpus: devices that a trial reserves, None for the default.
        most: devices that the largest trial is trained on.

    Raises:
        InputError: no trial fits into the cluster, or the largest does not.
    """
    resources: Mapping[str, float] = ray.cluster_resources()
    if gpus is None:
        wanted = device.startswith("cuda") or (device == "auto" and resources.get("GPU", 0) > 0)
        gpus = 1.0 if wanted else 0.0
    room = Room(cpus, gpus)
    largest = room.times(most)
    if largest.slots(resources) < 1:
        raise InputError(
            f"{'no trial fits' if most == 1 else f'a trial of {most} devices does not fit'} into the cluster:"
            f" {'each' if most == 1 else 'it'} reserves {largest.cpus:g} cores and {largest.gpus:g} devices,"
            f" and there are {resources.get('CPU', 0):g} and {resources.get('GPU', 0):g}",
            hint="--executor-option cpus_per_trial=... and gpus_per_trial=... say what a trial reserves",
        )
    return room


def alive_nodes(ray: ModuleType) -> list[str]:
    """Return the ids of the nodes that have cores, in a fixed order."""
    with suppress(ray.exceptions.RayError):
        return sorted(n["NodeID"] for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU", 0) > 0)
    return []


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
