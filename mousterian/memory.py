"""Telling that memory ran out from every other error. Importing this needs no torch."""

from __future__ import annotations

import sys
from typing import Any

_SIGNS = ("not enough memory", "can't allocate memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that a device, or the machine, has no memory left."""
    torch: Any = sys.modules.get("torch")  # an error of torch's comes only from where it is loaded
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def free() -> None:
    """Give back what nobody holds any more."""
    import gc

    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()
