"""Ends what is left of a Ray cluster when the process that started it is gone, however that happens.

Ray ends its own servers with that process, but not the workers and agents that these have started.
Run as `python -m mousterian.executors._ray_guard PROCESS FOLDER`, with a pipe from PROCESS as input.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_END = 1.0


@contextmanager
def guarded(folder: str) -> Iterator[None]:
    """Guard this process's Ray processes; on leaving, wait until they are ended and their folder is gone."""
    command = [sys.executable, "-m", "mousterian.executors._ray_guard", str(os.getpid()), folder]
    # In a session of its own: Ctrl-C is not meant for it.
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        guard.communicate()


def _watch(process: int, folder: str) -> None:
    """Note a process's Ray processes until its end of the pipe closes, then end them."""
    known: dict[int, str] = {}
    while not select.select([sys.stdin], [], [], SECONDS_BETWEEN_LOOKS)[0]:
        known |= _descendants(process)
    for each in _all():  # those that were started since the last look
        if folder.encode() in _arguments(each) and each != os.getpid():
            known[each] = _start_of(each)
    _end(known)
    shutil.rmtree(folder, ignore_errors=True)


def _all() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _descendants(process: int) -> dict[int, str]:
    """Return Ray's processes among all that a process has started, each with its own start."""
    parents: dict[int, int] = {}
    for each in _all():
        with suppress(OSError):
            parents[each] = int(_status(each)[1])
    found: set[int] = set()
    latest = {process}
    while latest:
        latest = {each for each, parent in parents.items() if parent in latest} - found
        found |= latest
    rays = (each for each in found if _arguments(each).startswith(b"ray::") or b"/ray/" in _arguments(each))
    return {each: _start_of(each) for each in rays}


def _status(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _arguments(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def _start_of(process: int) -> str:
    """Return when a process was started, in the kernel's ticks; nothing if it is gone or dead."""
    with suppress(OSError):
        fields = _status(process)
        return "" if fields[0] == "Z" else fields[19]
    return ""


def _end(processes: Mapping[int, str]) -> None:
    """Wait a moment for processes to end by themselves, then kill what has not."""
    deadline = time.monotonic() + SECONDS_TO_END
    while True:
        left = [each for each, start in processes.items() if start and _start_of(each) == start]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    for each in left:
        with suppress(OSError):
            os.kill(each, signal.SIGKILL)


if __name__ == "__main__":
    _watch(int(sys.argv[1]), sys.argv[2])
