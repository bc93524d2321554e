"""The Ray cluster that a run uses: connecting to it, and what a trial reserves of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import ceil, floor
from types import ModuleType
from typing import NamedTuple

from mousterian.errors import InputError, first_line, missing_package
from mousterian.executors.workers import ONE_THREAD

SECONDS_TO_ANSWER = 5.0
# Without the second variable Ray replaces 127.0.0.1 by the machine's external address, here and in
# `ray start`, which then listens on every interface.
_HINT = """name one with --executor-option address=HOST:6379 or RAY_ADDRESS, or start one on this machine:
    export RAY_AUTH_MODE=token RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
    (umask 077; ray get-auth-token --generate > /dev/null)
    ray start --head --node-ip-address=127.0.0.1
  The run needs the cluster's versions of Ray and Python, its token and the variables it was started with."""


class Reservation(NamedTuple):
    """The resources of the cluster that one trial reserves."""

    cpus: float
    gpus: float

    def slots(self, resources: Mapping[str, float]) -> int:
        """Return how many trials fit into a cluster's resources at the same time."""
        fits = [floor(resources.get("CPU", 0) / self.cpus + 1e-9)] if self.cpus else []
        if self.gpus:
            fits.append(floor(resources.get("GPU", 0) / self.gpus + 1e-9))
        return min(fits)

    def times(self, devices: int) -> Reservation:
        """Return the reservation of a trial on several devices; accelerators are reserved whole."""
        if devices == 1:
            return self
        return Reservation(self.cpus * devices, devices * float(ceil(self.gpus)))


def package() -> ModuleType:
    """Import Ray.

    Raises:
        InputError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise missing_package("the executor 'ray'", error.name or "ray", "ray") from None
    found: ModuleType = ray
    return found


@contextmanager
def cluster(address: str) -> Iterator[ModuleType]:
    """Connect to a running cluster; yield the package `ray`, connected.

    Args:
        address: address of the cluster; empty: RAY_ADDRESS, else the cluster that `ray start` started here.

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
    inherited = {name: value for name, value in os.environ.items() if name.startswith("MOUSTERIAN_")}
    try:
        _check_reachable(address)
        ray.init(
            address=address,
            runtime_env={"env_vars": {**ONE_THREAD, **inherited}},
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ImportError, OSError, OverflowError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(
            f"no Ray cluster can be reached: {first_line(error)}", where=f"address {address}", hint=_HINT
        ) from error


def _check_reachable(address: str) -> None:
    """Refuse at once an address where nothing listens, which Ray itself tries for minutes."""
    if address.startswith("ray://"):
        return
    from ray._private.services import canonicalize_bootstrap_address  # as ray.init resolves an address

    found = canonicalize_bootstrap_address(address)
    if found is None:
        raise ValueError("Ray would start one of its own, open to others")
    host, _, port = found.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()


def reservation_for(
    ray: ModuleType, device: str, cpus: float, gpus: float | None, most: int = 1
) -> Reservation:
    """Return what a trial reserves: by default one device, if trials use one.

    Args:
        ray: the package, connected.
        device: device of the grid.
        cpus: cores that a trial reserves.
        gpus: devices that a trial reserves; None: the default.
        most: number of devices of the largest trial.

    Raises:
        InputError: no trial fits into the cluster, or the largest does not.
    """
    resources: Mapping[str, float] = ray.cluster_resources()
    if gpus is None:
        uses_one = device.startswith("cuda") or (device == "auto" and resources.get("GPU", 0) > 0)
        gpus = 1.0 if uses_one else 0.0
    reservation = Reservation(cpus, gpus)
    largest = reservation.times(most)
    if largest.slots(resources) < 1:
        raise InputError(
            f"{'no trial fits' if most == 1 else f'a trial of {most} devices does not fit'} into the cluster:"
            f" {'each' if most == 1 else 'it'} reserves {largest.cpus:g} cores and {largest.gpus:g} devices,"
            f" and there are {resources.get('CPU', 0):g} and {resources.get('GPU', 0):g}",
            hint="--executor-option cpus_per_trial=... and gpus_per_trial=... set what a trial reserves",
        )
    return reservation


def live_nodes(ray: ModuleType) -> list[str]:
    """Return the ids of the nodes that have cores, in a fixed order."""
    with suppress(ray.exceptions.RayError):
        return sorted(n["NodeID"] for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU", 0) > 0)
    return []
