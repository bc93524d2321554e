"""An executor and its options, as the command line gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mousterian.errors import InputError
from mousterian.executors.failures import GivesUp
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
        given: `KEY=VALUE` texts; a value is read as TOML where the option is no text.
        workers: trials at a time, 0 for as many as suit.

    Raises:
        InputError: an unknown executor or option, or a value of the wrong type.
    """
    plugin = registry.find("executors", name)
    values = parsed_options(plugin, given, flag=_FLAG)
    if "workers" in values:
        raise InputError("the number of workers has an option of its own: --workers", where=_FLAG)
    return plugin, plugin.resolve({"workers": workers, **values})


def run_trials(
    chosen: Sequence[Trial],
    settings: Settings,
    listener: Listener,
    *,
    executor: str,
    workers: int,
    executor_options: Sequence[str] = (),
    again: bool = False,
    keep_going: bool = False,
) -> None:
    """Run trials on an executor; every finished or failed one is in the store when this returns.

    Args:
        chosen: trials to run.
        settings: where they run and where their rows go.
        listener: is told what becomes of each.
        executor: its name.
        workers: trials at a time, 0 for as many as suit.
        executor_options: `KEY=VALUE` texts.
        again: run those too that have diverged before.
        keep_going: do not stop when the first trials all fail alike.

    Raises:
        GaveUpError: the first trials all failed alike.
        InputError: nothing can run here, or the store cannot be written.
    """
    plugin, options = choose(executor, executor_options, workers)
    store = Store(settings.store)
    if not store.can_lock():
        listener.notice(
            f"{settings.store} lies on a file system without locks: run one grid at a time on this store,"
            " or trials and pools may be made twice (kept once all the same)"
        )
    store.clean()
    told = listener if keep_going else GivesUp(listener)
    plugin.load()(jobs_of(chosen, settings, again=again), settings, told, **options)
