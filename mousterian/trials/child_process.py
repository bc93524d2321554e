"""Child processes that end with their parent, so that none is left running.

The fork server imports this first, before it spends seconds on importing torch. Workers and the processes of
a trial on several devices call `die_with_parent` themselves, as a fork does not inherit it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# Environment variable, set for the fork server alone: the process id that its parent must have.
SUPERVISOR = "MOUSTERIAN_SUPERVISOR"
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int = 0) -> None:
    """Ask the kernel (Linux; elsewhere nothing happens) to kill this process when its parent ends.

    Args:
        parent: process id that the parent must have; if it is another, the parent has died already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if parent and parent != os.getppid():
        os._exit(1)


if SUPERVISOR in os.environ:  # this process is the fork server
    die_with_parent(int(os.environ.pop(SUPERVISOR)))
