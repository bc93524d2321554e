"""Memory that runs out: telling it from every other error, and going on with less at a time.

Importing this needs no torch.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
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


def in_halves(count: int, make: Callable[[slice], NDArray[Any]]) -> NDArray[Any]:
    """Return what `make` gives for rows 0 to `count`, one after the other in halves where memory runs out.

    Raises:
        InputError: it does not suffice for one row.
    """

    def made(first: int, end: int) -> NDArray[Any]:
        try:
            return make(slice(first, end))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0]
        # Out here, so that what the error's traceback held is free.
        free()
        if end - first < 2:
            raise InputError(
                f"memory does not suffice to generate one image at a time ({reason})",
                hint="use another device, or a smaller generator",
            )
        middle = (first + end) // 2
        _log.warning("memory ran out for %d images at once; going on with %d", end - first, middle - first)
        return np.concatenate([made(first, middle), made(middle, end)])

    return made(0, count)
