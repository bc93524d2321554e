"""The Ray cluster that a run uses: connected to, and asked for room."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import ceil, floor
from types import ModuleType
from typing import NamedTuple

from mousterian.errors import InputError

SECONDS_TO_ANSWER = 5.0
# Fixed before the numeric libraries are loaded, as sums over other threads give other last bits.
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# Without the second variable Ray takes 127.0.0.1 for the machine's outer address, here as in `ray start`,
# which then listens on every interface.
_HINT = """name one by --executor-option address=HOST:6379 or RAY_ADDRESS, or start one on this machine:
    export RAY_AUTH_MODE=token RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
    (umask 077; ray get-auth-token --generate > /dev/null)
    ray start --head --node-ip-address=127.0.0.1
  The run needs the cluster's versions of Ray and Python, its token and the variables it was started with."""


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
def cluster(address: str) -> Iterator[ModuleType]:
    """Connect to a cluster that runs; give the package `ray`, connected.

    Args:
        address: of the cluster; empty: RAY_ADDRESS, else the one that `ray start` has started here.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be reached.
    """
    ray = package()
    if ray.is_initialized():
        yield ray
        return
    try:
        _connect(ray, address or os.environ.get("RAY_ADDRESS") or "auto")
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: ModuleType, address: str) -> None:
    passed_on = {name: value for name, value in os.environ.items() if name.startswith("MOUSTERIAN_")}
    try:
        _knock(address)
        ray.init(
            address=address,
            runtime_env={"env_vars": {**_THREADS, **passed_on}},
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ImportError, OSError, OverflowError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(
            f"no Ray cluster can be reached: {_first_line(error)}", where=f"address {address}", hint=_HINT
        ) from error


def _knock(address: str) -> None:
    """Refuse at once an address where nothing listens: Ray itself tries for minutes."""
    if address.startswith("ray://"):
        return
    from ray._private.services import canonicalize_bootstrap_address  # what ray.init does with an address

    found = canonicalize_bootstrap_address(address)
    if found is None:
        raise ValueError("Ray would start one of its own, open to others")
    host, _, port = found.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()


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
