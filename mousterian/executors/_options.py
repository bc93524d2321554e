"""An executor and its options, as the command line gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mousterian import plugins
from mousterian.errors import InputError
from mousterian.options import given_as_text
from mousterian.plugins import Plugin

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
    plugin = plugins.find("executors", name)
    values = given_as_text(plugin, given, flag=_FLAG)
    if "workers" in values:
        raise InputError("the number of workers has an option of its own: --workers", where=_FLAG)
    return plugin, plugin.resolve({"workers": workers, **values})
