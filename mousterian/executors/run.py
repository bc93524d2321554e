"""Running trials on the executor that the command line names, with its options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mousterian.errors import InputError
from mousterian.executors.failures import StopOnIdenticalFailures
from mousterian.executors.jobs import jobs_of
from mousterian.executors.kinds import Listener
from mousterian.plugins import registry
from mousterian.plugins.key_value import parsed_options
from mousterian.plugins.spec import Plugin
from mousterian.store.rows import Store
from mousterian.trials.identity import Trial
from mousterian.trials.settings import Settings

_FLAG = "--executor-option"


def choose(name: str, given: Sequence[str], workers: int) -> tuple[Plugin, dict[str, Any]]:
    """Return an executor and the values of all its options.

    Args:
        name: name of the executor.
        given: `KEY=VALUE` texts; a value is read as TOML unless the option is a string.
        workers: trials at a time; 0: chosen by the executor.

    Raises:
        InputError: an unknown executor or option, or a value of the wrong type.
    """
    plugin = registry.find("executors", name)
    values = parsed_options(plugin, given, flag=_FLAG)
    if "workers" in values:
        raise InputError("the number of workers has an option of its own: --workers", where=_FLAG)
    return plugin, plugin.resolve({"workers": workers, **values})


def run_trials(
    trials: Sequence[Trial],
    settings: Settings,
    listener: Listener,
    *,
    executor: str,
    workers: int,
    executor_options: Sequence[str] = (),
    retry: bool = False,
    keep_going: bool = False,
) -> None:
    """Run trials on an executor; every finished or failed one is in the store on return.

    Args:
        trials: the trials to run.
        settings: where they run and where their rows go.
        listener: is notified of each job's progress.
        executor: name of the executor.
        workers: trials at a time; 0: chosen by the executor.
        executor_options: `KEY=VALUE` texts.
        retry: also run trials that have diverged before.
        keep_going: do not stop when the first trials all fail with the same error.

    Raises:
        IdenticalFailuresError: the first trials all failed with the same error.
        InputError: nothing can run here, or the store cannot be written.
    """
    plugin, options = choose(executor, executor_options, workers)
    store = Store(settings.store)
    if not store.can_lock():
        listener.notice(
            f"{settings.store} is on a file system without locks: run one grid at a time on this store,"
            " or trials and pools may be made twice (only one of each is kept)"
        )
    store.clean()
    listener = listener if keep_going else StopOnIdenticalFailures(listener)
    plugin.load()(jobs_of(trials, settings, retry=retry), settings, listener, **options)
