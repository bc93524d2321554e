"""A plug-in as a file names it, and with the values of all its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from mousterian.errors import InputError
from mousterian.plugins.spec import Plugin
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
    """A plug-in with the values of all its options.

    Attributes:
        name: of the plug-in.
        options: as `Plugin.resolve` returns them.
        stamp: of the files that the options name; empty if they name none.
        revision: of the code; `Plugin.revision`.
    """

    name: str
    options: Mapping[str, Any]
    stamp: str = ""
    revision: int = 1

    @classmethod
    def of(cls, plugin: Plugin, options: Mapping[str, Any], data_dir: Path) -> Self:
        """Return a plug-in with its resolved options, as its files and its code are now.

        Raises:
            InputError: a file that the options name cannot be read.
        """
        return cls(plugin.name, options, plugin.stamp(data_dir, options), plugin.revision(options))

    @classmethod
    def described(cls, description: Mapping[str, Any]) -> Self:
        """Return the choice that `describe` describes."""
        stamp, revision = description.get("stamp", ""), description.get("revision", 1)
        return cls(description["name"], description["options"], stamp, revision)

    def describe(self) -> dict[str, Any]:
        """Return its identity as JSON-like values: no stamp where there is none, a revision from 2 on."""
        named = {"name": self.name, "options": dict(self.options)}
        stamped = {"stamp": self.stamp} if self.stamp else {}
        return named | stamped | ({"revision": self.revision} if self.revision > 1 else {})

    @cached_property
    def json(self) -> str:
        """The options as JSON text."""
        return canonical(dict(self.options))

    @cached_property
    def text(self) -> str:
        """Its identity as JSON text."""
        return canonical(self.describe())
