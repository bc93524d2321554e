"""Names of feature spaces and of the datasets inside them, as a person writes them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from mousterian import plugins
from mousterian.errors import InputError
from mousterian.plugins import Plugin
from mousterian.seeds import canonical

# A colon parts the values of a name, but not inside a table of options.
_COLON = re.compile(r":(?![^{]*\})")


def space_named(name: str) -> tuple[Plugin, dict[str, Any]]:
    """Return the plug-in of a space and its options; "timm:resnet18:PATH" gives them in their order.

    Raises:
        InputError: an unknown space, or more values than it has options.
    """
    first, *values = _COLON.split(name)
    plugin = plugins.find("features", first)
    if len(values) > len(plugin.options):
        form = ":".join([first, *(option.upper() for option in plugin.options)])
        raise InputError(f"feature space {name!r} has too many parts", hint=f"write it as {form}")
    given = {option: value for option, value in zip(plugin.options, values, strict=False) if value}
    return plugin, plugin.resolve(given)


def dataset_named(text: str) -> tuple[Plugin, dict[str, Any]]:
    """Return a dataset plug-in and its options, from its name or a table `{name = "...", option = ...}`.

    Raises:
        InputError: no such dataset or option, or not a table.
    """
    table = _table(text) if text.lstrip().startswith("{") else {"name": text}
    name = table.pop("name", "")
    plugin = plugins.find("datasets", str(name))
    return plugin, plugin.resolve(table)


def dataset_text(name: str, options: Mapping[str, Any]) -> str:
    """Return the text that `dataset_named` reads as this dataset; the name alone where it says all."""
    plugin = plugins.find("datasets", name)
    own = {key: value for key, value in options.items() if plugin.options[key].default != value}
    return canonical({"name": name, **own}) if own else name


def _table(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise InputError(
                f"not a table of a dataset and its options ({error})",
                where=text,
                hint='write it as in a grid file: {name = "image_folder", path = "pets"}',
            ) from None
    return dict(found)
