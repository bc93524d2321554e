"""Places for worker processes on this machine: a core each, or an accelerator by turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from mousterian.executors.failures import Streak
from mousterian.executors.jobs import Job


@dataclass(eq=False)
class Slot:
    """A place for one worker process; the process may be replaced, what is known of the slot stays.

    Attributes:
        lender: the slot whose trial has this slot's device beside its own.
    """

    number: int
    process: ForkServerProcess
    connection: Connection
    ready: bool = False
    job: Job | None = None
    false_starts: int = 0
    streak: Streak = field(default_factory=Streak)
    lender: Slot | None = None

    @property
    def idle(self) -> bool:
        """Whether a job can begin here now."""
        return self.ready and not self.job and not (self.lender and self.lender.job)


def device_of(number: int, device: str, there: int) -> str:
    """Return the device of a slot: of several accelerators that nobody has named, each in its turn."""
    return f"cuda:{number % there}" if device in {"auto", "cuda"} and there > 1 else device


def side_by_side(first: Slot, slots: Sequence[Slot], count: int, there: int) -> list[Slot]:
    """Return idle slots for a trial of `count` devices, the one that runs it in front; none if it must wait.

    They are neighbours, so that their devices are, too. A trial of more devices than there are slots, or of
    neighbours that have been set aside, waits until all slots are idle.

    Args:
        first: an idle slot.
        slots: all that there are.
        count: devices, and so slots, that the trial takes.
        there: accelerators of this machine; neighbours do not go past the last one.
    """
    if count == 1:
        return [first]
    idle = {slot.number: slot for slot in slots if slot.idle}
    for number in sorted(idle):
        beside = [idle.get(number + step) for step in range(count)]
        found = [slot for slot in beside if slot is not None]
        if len(found) == count and (there < 2 or number % there + count <= there):
            return found
    return sorted(slots, key=lambda slot: slot.number) if len(idle) == len(slots) else []


def end(slots: Sequence[Slot]) -> None:
    """End the slots' workers: idle ones leave by themselves, busy ones are killed."""
    for slot in slots:
        slot.connection.close()
        if slot.job:
            slot.process.kill()
    for slot in slots:
        slot.process.join(2)
        if slot.process.is_alive():
            slot.process.kill()
            slot.process.join()
