"""Options of plug-ins and conditions on the command line: KEY=VALUE."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from mousterian.errors import InputError
from mousterian.plugins.spec import Plugin


def key_and_value(text: str, *, flag: str, form: str = "KEY=VALUE") -> tuple[str, str]:
    """Return the text before and after the first `=`.

    Raises:
        InputError: there is none; it names the flag and the form.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{flag} takes {form}, not {text!r}")
    return key, value


def parsed_options(plugin: Plugin, texts: Sequence[str], *, flag: str) -> dict[str, Any]:
    """Return the values of `KEY=VALUE` texts; a value is parsed as TOML unless the option is a str.

    Raises:
        InputError: a text without `=`; it names the flag.
    """
    values = {}
    for text in texts:
        key, value = key_and_value(text, flag=flag)
        option = plugin.options.get(key)
        values[key] = value if option and option.annotation == "str" else _read(value)
    return values


def _read(value: str) -> Any:
    """Return a TOML value; text that is none as it is."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
