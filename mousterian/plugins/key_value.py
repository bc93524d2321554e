"""Options of plug-ins and conditions as the command line gives them: KEY=VALUE."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from mousterian.errors import InputError
from mousterian.plugins.spec import Plugin


def key_and_value(text: str, *, flag: str, form: str = "KEY=VALUE") -> tuple[str, str]:
    """Return what stands before and after the first `=`.

    Raises:
        InputError: there is none; names the flag and the form.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{flag} takes {form}, not {text!r}")
    return key, value


def parsed_options(plugin: Plugin, texts: Sequence[str], *, flag: str) -> dict[str, Any]:
    """Return the values of `KEY=VALUE` texts; a value is read as TOML where the option is no text.

    Raises:
        InputError: a text without `=`; names the flag.
    """
    values = {}
    for text in texts:
        key, value = key_and_value(text, flag=flag)
        option = plugin.options.get(key)
        values[key] = value if option and option.annotation == "str" else _read(value)
    return values


def _read(value: str) -> Any:
    """Return a TOML value; text that is none stands for itself."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
