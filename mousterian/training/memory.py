"""Out-of-memory errors: recognising them, and retrying the work in smaller parts.

Importing this needs no torch.
"""

from __future__ import annotations

import gc
import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mousterian.errors import InputError, first_line

T = TypeVar("T")
_log = logging.getLogger(__name__)
_SIGNS = ("not enough memory", "can't allocate memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device, or the machine, is out of memory."""
    torch: Any = sys.modules.get("torch")  # torch's errors can occur only once it is loaded
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def free() -> None:
    """Release unreferenced memory, including the accelerator's cache."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()


def with_less_memory(
    step: Callable[[int], T],
    size: int,
    what: str,
    *,
    hint: str = "",
    parts: int = 1,
    release: Callable[[], None] = free,
) -> tuple[T, int]:
    """Return the result of `step` and the number of parts it took: the first of 1, 2, 4, … that fits.

    Args:
        step: does the work in a given number of parts.
        size: items of work; at most so many parts are tried.
        what: what memory is needed for with one item at a time; for the error.
        hint: what to do if memory does not suffice for that.
        parts: the first number to try.
        release: called before each retry.

    Raises:
        InputError: memory does not suffice for one item at a time.
    """
    while True:
        try:
            return step(parts), parts
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = first_line(error)
        # Outside the handler, so that the objects in the traceback are released.
        parts *= 2
        if parts >= 2 * size:
            raise InputError(f"memory does not suffice {what} ({reason})", hint=hint)
        release()
        _log.warning("out of memory for %d at once; retrying in %d parts", size, parts)


@dataclass
class AdaptiveBatches:
    """Computes rows in batches, whose size it halves whenever memory runs out.

    Attributes:
        what: what memory is needed for with one row at a time; for the error.
        hint: what to do if memory does not suffice for that.
        most: batch size, reduced when memory runs out.
    """

    what: str
    hint: str = ""
    most: int = sys.maxsize

    def map(self, count: int, make: Callable[[slice], T]) -> list[T]:
        """Return the results of `make` for consecutive slices of rows from 0 to `count`.

        Raises:
            InputError: memory does not suffice for one row.
        """
        found: list[T] = []
        first = 0
        while first < count:
            rows, first = self._next(first, min(self.most, count - first), make)
            found.append(rows)
        return found

    def _next(self, first: int, size: int, make: Callable[[slice], T]) -> tuple[T, int]:
        """Make up to `size` rows from `first`; return them and the next row."""

        def step(parts: int) -> T:
            return make(slice(first, first + math.ceil(size / parts)))

        rows, parts = with_less_memory(step, size, self.what, hint=self.hint)
        if parts > 1:
            self.most = math.ceil(size / parts)
        return rows, first + math.ceil(size / parts)
