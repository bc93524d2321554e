"""Slots for worker processes on this machine: one for each core, or one or more for each accelerator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from mousterian.executors.failures import Streak
from mousterian.executors.jobs import Job


@dataclass(eq=False)
class Slot:
    """A place for one worker process, which may be replaced; the slot keeps its history.

    Attributes:
        borrower: the slot whose trial also uses this slot's device.
    """

    number: int
    process: ForkServerProcess
    connection: Connection
    ready: bool = False
    job: Job | None = None
    failed_starts: int = 0
    streak: Streak = field(default_factory=Streak)
    borrower: Slot | None = None

    @property
    def idle(self) -> bool:
        """Whether a job can start here now."""
        return self.ready and not self.job and not (self.borrower and self.borrower.job)


def device_of(number: int, device: str, accelerators: int) -> str:
    """Return the device of a slot; unless the user named one, slots take the accelerators in turn."""
    return f"cuda:{number % accelerators}" if device in {"auto", "cuda"} and accelerators > 1 else device


def adjacent_slots(first: Slot, slots: Sequence[Slot], count: int, accelerators: int) -> list[Slot]:
    """Return idle slots for a trial of `count` devices, that which runs it first; empty: it must wait.

    The slots are adjacent, and so are their devices. If there are not enough slots, or not enough adjacent
    ones as some were set aside, the trial waits until all slots are idle.

    Args:
        first: an idle slot.
        slots: all slots.
        count: number of devices, and so of slots, that the trial uses.
        accelerators: number of accelerators of this machine; adjacent slots do not wrap around.
    """
    if count == 1:
        return [first]
    idle = {slot.number: slot for slot in slots if slot.idle}
    for number in sorted(idle):
        adjacent = [idle.get(number + step) for step in range(count)]
        found = [slot for slot in adjacent if slot is not None]
        if len(found) == count and (accelerators < 2 or number % accelerators + count <= accelerators):
            return found
    return sorted(slots, key=lambda slot: slot.number) if len(idle) == len(slots) else []


def stop_workers(slots: Sequence[Slot]) -> None:
    """Stop the slots' workers: idle ones exit by themselves, busy ones are killed."""
    for slot in slots:
        slot.connection.close()
        if slot.job:
            slot.process.kill()
    for slot in slots:
        slot.process.join(2)
        if slot.process.is_alive():
            slot.process.kill()
            slot.process.join()
