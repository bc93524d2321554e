"""Nothing is left over: a process that has imported this dies at once when its parent does.

The fork server imports it first, before the seconds in which it imports torch and hears nothing. Workers
and a trial's processes on several devices call `die_with_parent` themselves, as a fork forgets it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# Environment variable of the fork server alone: the process id that its parent must have.
SUPERVISOR = "MOUSTERIAN_SUPERVISOR"
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int = 0) -> None:
    """Ask the kernel (Linux; elsewhere nothing happens) to kill this process when its parent ends.

    Args:
        parent: process id that the parent must have: another has taken its place if it has died before.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if parent and parent != os.getppid():
        os._exit(1)


if SUPERVISOR in os.environ:  # this is the fork server, starting
    die_with_parent(int(os.environ.pop(SUPERVISOR)))
