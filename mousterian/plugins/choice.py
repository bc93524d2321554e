"""A plug-in as a file names it, and with the values of all its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mousterian.errors import InputError
from mousterian.seeds import canonical


def name_and_options(entry: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of a plug-in that is given by its name, or as a table with both.

    Raises:
        InputError: the table has no name.
    """
    if isinstance(entry, str):
        return entry, {}
    options = dict(entry)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise InputError("the key 'name' is missing in this table")
    return name, options


@dataclass(frozen=True)
class Choice:
    """A plug-in with the values of all its options, and the stamp of the files that these name (or "")."""

    name: str
    options: Mapping[str, Any]
    stamp: str = ""

    def describe(self) -> dict[str, Any]:
        """Return its identity as JSON-like values."""
        named = {"name": self.name, "options": dict(self.options)}
        return named | {"stamp": self.stamp} if self.stamp else named

    @cached_property
    def json(self) -> str:
        """The options as JSON text."""
        return canonical(dict(self.options))

    @cached_property
    def text(self) -> str:
        """Its identity as JSON text."""
        return canonical(self.describe())
