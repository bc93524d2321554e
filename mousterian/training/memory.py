"""Memory that runs out: telling it from every other error, and going on with less at a time.

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

from mousterian.errors import InputError

T = TypeVar("T")
_log = logging.getLogger(__name__)
_SIGNS = ("not enough memory", "can't allocate memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that a device, or the machine, has no memory left."""
    torch: Any = sys.modules.get("torch")  # an error of torch's comes only from where it is loaded
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def free() -> None:
    """Give back what nobody holds any more."""
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
    """Return what `step` gives, and the number of parts that it took: the first of 1, 2, 4, … that fits.

    Args:
        step: takes the number of parts in which to do its work.
        size: items of that work; the number of parts ends where each has one.
        what: what memory is needed for, one item at a time; for the error.
        hint: what to do where it does not suffice for that.
        parts: the first number to try.
        release: called before another number is tried.

    Raises:
        InputError: memory does not suffice for one item at a time.
    """
    while True:
        try:
            return step(parts), parts
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0]
        # Out here, so that what the error's traceback held is free.
        parts *= 2
        if parts >= 2 * size:
            raise InputError(f"memory does not suffice {what} ({reason})", hint=hint)
        release()
        _log.warning("memory ran out for %d at once; going on in %d parts", size, parts)


@dataclass
class AdaptiveBatches:
    """Makes rows one after the other, in halves where memory runs out, and remembers how many it holds.

    Attributes:
        what: what memory is needed for, one row at a time; for the error.
        hint: what to do where it does not suffice for that.
        most: rows that are made at once; fewer from the moment that memory ran out for so many.
    """

    what: str
    hint: str = ""
    most: int = sys.maxsize

    def map(self, count: int, make: Callable[[slice], T]) -> list[T]:
        """Return what `make` gives for slices that follow each other from row 0 to `count`.

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
        """Make up to `size` rows from `first` on; return them and the row that follows."""

        def made(parts: int) -> T:
            return make(slice(first, first + math.ceil(size / parts)))

        rows, parts = with_less_memory(made, size, self.what, hint=self.hint)
        if parts > 1:
            self.most = math.ceil(size / parts)
        return rows, first + math.ceil(size / parts)
