"""How trials share this machine's device: as asked for, or as a short measurement finds fastest."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mousterian.errors import InputError
from mousterian.executors._jobs import Job, Listener, TrialJob
from mousterian.executors._measure import device_name, trainings_an_hour
from mousterian.executors._slots import accelerators
from mousterian.seeds import digest
from mousterian.store import write_atomically
from mousterian.together import shape_of
from mousterian.trial import Settings

ONE, PROCESSES = "one", "processes"
WORTH_MEASURING = 12  # trials; fewer are over before a measurement has paid
_WORTH_CHANGING = 1.1  # times faster than one after another
_AT_ONCE = 4
_KEPT = "together.json"


@dataclass(frozen=True)
class Way:
    """How trials run: so many processes, and so many trials at once in each.

    Attributes:
        name: one, processes, streams or fused.
        processes: how many.
        at_once: trials that each of them trains at once.
    """

    name: str
    processes: int
    at_once: int = 1

    @property
    def label(self) -> str:
        """What a person calls it."""
        if self.name == ONE:
            return "one after another"
        return f"{self.name}, {max(self.processes, self.at_once)} at once"


CONTENDERS = (
    Way(ONE, 1),
    Way(PROCESSES, 4),
    Way("streams", 1, 4),
    Way("fused", 1, 4),
    Way("fused", 1, 8),
)


def is_accelerated(device: str) -> bool:
    """Tell whether a device is an accelerator, without asking torch."""
    return device not in {"auto", "cpu"} or (device == "auto" and accelerators() > 0)


def default_workers(device: str) -> int:
    """Return how many processes suit a device: one for each accelerator, else one for each core."""
    if device in {"auto", "cuda"} and accelerators():
        return accelerators()
    return 1 if is_accelerated(device) else len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Asked:
    """What the options of `local` say of it."""

    together: str = "auto"
    workers: int = 0
    at_once: int = 0


def choose_way(jobs: Sequence[Job], settings: Settings, listener: Listener, asked: Asked) -> Way:
    """Return how jobs run.

    Raises:
        InputError: options that contradict each other.
    """
    together, workers, at_once = asked.together, asked.workers, asked.at_once
    if at_once < 0:
        raise InputError(f"trials_at_once must be 0 or more, not {at_once}", where="--executor-option")
    if together == ONE and max(workers, at_once) > 1:
        raise InputError(
            f"together=one runs one trial at a time, not {max(workers, at_once)}",
            where="--executor-option",
            hint="together=processes runs each trial in a process of its own",
        )
    suits = default_workers(settings.device)
    if together == ONE:
        return Way(ONE, 1)
    if together == PROCESSES:
        return Way(
            PROCESSES, workers or at_once or suits * (_AT_ONCE if is_accelerated(settings.device) else 1)
        )
    if together != "auto":
        return Way(together, workers or suits, at_once or _AT_ONCE)
    # One that several devices train together is not what shares a device.
    trials = [job for job in jobs if isinstance(job, TrialJob) and job.devices(settings) == 1]
    if workers or at_once or len(trials) < WORTH_MEASURING or not is_accelerated(settings.device):
        return Way(PROCESSES, workers or at_once or suits)
    way = measured_way(trials, settings, listener)
    return replace(way, processes=way.processes * suits)


def measured_way(trials: Sequence[TrialJob], settings: Settings, listener: Listener) -> Way:
    """Return the fastest way to train the first trial's shape on this device, and say so in one line.

    What was measured before is read from the store's folder.
    """
    first = trials[0].trial
    place = f"{device_name(settings)}, {settings.acceleration}"
    shape = digest([shape_of(first)])
    kept = _read(settings.store / _KEPT)
    rates = kept.get(place, {}).get(shape)
    known = {way.label: way for way in CONTENDERS}
    if not rates or not set(rates) <= set(known):
        listener.notice(f"measuring how trials share the {place.partition(',')[0]} best (once for a store)")
        rates = {way.label: trainings_an_hour(first, settings, way.name, way.processes, way.at_once)
                 for way in CONTENDERS}  # fmt: skip
        kept.setdefault(place, {})[shape] = rates
        write_atomically(settings.store / _KEPT, json.dumps(kept, indent=1).encode())
    best = max(rates, key=lambda label: rates[label])
    alone = Way(ONE, 1).label
    if rates[best] < _WORTH_CHANGING * rates.get(alone, 0.0):
        best = alone
    compared = ", ".join(f"{label} {rate:.0f}" for label, rate in rates.items())
    listener.notice(f"trials run {best}; trainings an hour: {compared}")
    return known[best]


def _read(path: Path) -> dict[str, dict[str, Mapping[str, float]]]:
    """Return what was measured before; nothing if it cannot be read, as it can be measured again."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
