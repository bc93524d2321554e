"""Processes of the local executor: forked from one that has imported torch, and ended with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

from mousterian.errors import InputError
from mousterian.executors.workers import ONE_THREAD
from mousterian.trials.child_process import SUPERVISOR

MAX_STARTS = 5  # attempts to start a process
# Modules that the fork server imports; it skips those that cannot be imported, which workers then report.
PRELOAD = ["mousterian.trials.child_process", "torch._dynamo", "mousterian.training.loop"]


def start(target: Callable[..., None], *arguments: Any) -> tuple[ForkServerProcess, Connection]:
    """Start a process that runs `target(connection, *arguments)`; also the fork server, if it was killed.

    Workers are forked from a process that has imported torch: the import (12 s on a slow core, with the
    compiler that plain optimisers pull in) happens once, and a worker that died is replaced immediately.

    Returns:
        The process and this end of its connection.

    Raises:
        InputError: no process can be started.
    """
    os.environ.update(ONE_THREAD)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    for _ in range(MAX_STARTS):
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
        # Started with Ctrl-C ignored: the supervisor handles it, also while workers import.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.environ[SUPERVISOR] = str(os.getpid())
        try:
            process.start()
        except (OSError, EOFError):  # the fork server has just died
            ours.close()
            time.sleep(0.1)
            continue
        finally:
            del os.environ[SUPERVISOR]
            signal.signal(signal.SIGINT, handler)
            theirs.close()
        return process, ours
    raise InputError("no worker process can be started", hint="the machine may be out of memory or processes")
