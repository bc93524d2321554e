"""Memory that runs out: telling it from every other error, and going on with less at a time.

Importing this needs no torch.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.errors import InputError

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


@dataclass
class Portions:
    """Makes rows one after the other, in halves where memory runs out, and remembers how many it holds.

    Attributes:
        most: rows that are made at once; fewer from the moment that memory ran out for so many.
    """

    most: int = sys.maxsize

    def made(self, count: int, make: Callable[[slice], NDArray[Any]]) -> NDArray[Any]:
        """Return what `make` gives for rows 0 to `count`.

        Raises:
            InputError: memory does not suffice for one row.
        """
        parts: list[NDArray[Any]] = []
        first = 0
        while first < count:
            end = min(first + self.most, count)
            try:
                parts.append(make(slice(first, end)))
                first = end
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            # Out here, so that what the error's traceback held is free.
            free()
            self._fewer(end - first, reason)
        return np.concatenate(parts)

    def _fewer(self, tried: int, reason: str) -> None:
        if tried < 2:
            raise InputError(
                f"memory does not suffice to generate one image at a time ({reason})",
                hint="use another device, or a smaller generator",
            )
        self.most = tried // 2
        _log.warning("memory ran out for %d images at once; going on with %d", tried, self.most)
