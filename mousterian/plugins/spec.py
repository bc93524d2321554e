"""What is known of a plug-in without importing it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mousterian.errors import InputError, nearest_or_all
from mousterian.plugins.contract import kind_named
from mousterian.plugins.options import Option


@dataclass(frozen=True)
class Plugin:
    """What is known of a plug-in without importing it.

    Attributes:
        kind: name of its kind.
        name: what it is called.
        module: where its entry function is.
        function: name of that.
        help: its docstring.
        options: its keyword-only arguments.
        parts: names of the functions and constants of its kind's Protocols that its module has.
        constants: values of those constants that are plain values.
        preset: options that its name decides.
        broken: why it cannot be used, or nothing.
    """

    kind: str
    name: str
    module: str
    function: str
    help: str
    options: Mapping[str, Option] = field(default_factory=dict)
    parts: frozenset[str] = frozenset()
    constants: Mapping[str, Any] = field(default_factory=dict)
    preset: Mapping[str, Any] = field(default_factory=dict)
    broken: str = ""

    @property
    def summary(self) -> str:
        """First line of the help text."""
        return self.help.partition("\n")[0]

    @property
    def label(self) -> str:
        """What messages call it, e.g. "model 'timm'"."""
        return f"{kind_named(self.kind).singular} {self.name!r}"

    def load(self) -> Callable[..., Any]:
        """Import the plug-in's module and return its entry function."""
        function: Callable[..., Any] = getattr(importlib.import_module(self.module), self.function)
        return function

    def part(self, name: str) -> Any:
        """Import the module and return one of its kind's functions or constants; None if it has none."""
        return getattr(importlib.import_module(self.module), name) if name in self.parts else None

    def stamp(self, data_dir: Path, options: Mapping[str, Any]) -> str:
        """Return the stamp of the files that the options name; empty if it has no function `stamp`."""
        found: str = self._call("stamp", options, data_dir) or ""
        return found

    def revision(self, options: Mapping[str, Any]) -> int:
        """Return the revision of its code, raised by those of the plug-ins that the options name."""
        revision: int = self.constants.get("REVISION", 1)
        for each in self._call("nested_revisions", options) or ():
            revision += each - 1
        return revision

    def check_revision(self, then: int, options: Mapping[str, Any], *, where: str = "") -> None:
        """Refuse to continue what another revision of the code has begun.

        Raises:
            InputError: the revision of today's code is not `then`.
        """
        if (now := self.revision(options)) != then:
            raise InputError(
                f"the code of {self.label} has changed since (revision {then}, now {now})",
                where=where,
                hint="run the grid file, which makes all that this touches anew; what was made before stays",
            )

    def check(self, subject: object, options: Mapping[str, Any]) -> None:
        """Call its function `check`, if it has one.

        Raises:
            InputError: it refuses the subject or an option.
        """
        self._call("check", options, subject)

    def _call(self, name: str, options: Mapping[str, Any], *subject: object) -> Any:
        """Call another function of the module with those of the options that it names, if there is one."""
        function = self.part(name)
        if function is None:
            return None
        named = inspect.signature(function).parameters
        values = {**options, **self.preset}
        return function(*subject, **{option: value for option, value in values.items() if option in named})

    def takes_list(self, option: str) -> bool:
        """Whether an option's value is a list by its type."""
        annotation = self.options[option].annotation if option in self.options else ""
        return any(word in annotation for word in ("tuple", "list", "Sequence"))

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option's value: those given, checked, and the defaults of the rest.

        Options of `ADDED_OPTIONS` that have their default are left out.

        Raises:
            InputError: an unknown option, a wrong type, or a required option missing.
        """
        for name in given:
            if name not in self.options or name in self.preset:
                raise InputError(self._unknown_option(name))
        values = {}
        for option in self.options.values():
            if option.name in self.preset:
                continue
            if option.name in given:
                try:
                    values[option.name] = option.check(given[option.name])
                except ValueError as error:
                    raise InputError(f"{self.label}: option {option.name!r}: {error}") from None
            elif option.required:
                raise InputError(f"{self.label} needs the option {option.name!r}")
            else:
                values[option.name] = option.default
        for name in self.constants.get("ADDED_OPTIONS", ()):
            if name in values and values[name] == self.options[name].default:
                del values[name]
        return values

    def _unknown_option(self, name: str) -> str:
        known = [option for option in self.options if option not in self.preset]
        return f"{self.label} has no option {name!r}; {nearest_or_all(name, known, all_are='it has')}"
