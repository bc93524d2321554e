"""An executor and its options, as the command line gives them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from mousterian import plugins
from mousterian.errors import InputError
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
    values: dict[str, Any] = {"workers": workers}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{_FLAG} takes KEY=VALUE, not {text!r}")
        if key == "workers":
            raise InputError("the number of workers has an option of its own: --workers", where=_FLAG)
        option = plugin.options.get(key)
        values[key] = value if option and option.annotation == "str" else _read(value)
    return plugin, plugin.resolve(values)


def _read(value: str) -> Any:
    """Return a TOML value; text that is none stands for itself."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
