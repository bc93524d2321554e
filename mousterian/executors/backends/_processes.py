"""Processes of the local executor, forked from one that has imported torch, and that die with this one."""

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
from mousterian.trials.child_process import SUPERVISOR

STARTS = 5  # of a process before there is no hope
# What the fork server imports; it leaves out what cannot be imported, and workers then say so.
PRELOAD = ["mousterian.trials.child_process", "torch._dynamo", "mousterian.training.loop"]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def start(target: Callable[..., None], *arguments: Any) -> tuple[ForkServerProcess, Connection]:
    """Start a process that runs `target(connection, *arguments)`; the fork server too, if it was killed.

    Workers are forked from one process that has imported torch and nothing else: the import (12 s on a slow
    core, the compiler that plain optimisers pull in counted) is paid once, and a worker that died is
    replaced at once.

    Returns:
        The process and this end of its connection.

    Raises:
        InputError: none can be started.
    """
    # Threads of the numeric libraries are fixed when these are first loaded, so before workers start.
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    for _ in range(STARTS):
        here, there = context.Pipe()
        process = context.Process(target=target, args=(there, *arguments), daemon=True)
        # Started with Ctrl-C ignored: that is the supervisor's to answer, also while workers import.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.environ[SUPERVISOR] = str(os.getpid())
        try:
            process.start()
        except (OSError, EOFError):  # the fork server died just now
            here.close()
            time.sleep(0.1)
            continue
        finally:
            del os.environ[SUPERVISOR]
            signal.signal(signal.SIGINT, handler)
            there.close()
        return process, here
    raise InputError("no worker process can be started", hint="the machine may be out of memory or processes")
