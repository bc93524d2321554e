"""What is known of a plug-in without importing it."""

from __future__ import annotations

import importlib.util
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mousterian.errors import InputError, nearest, singular
from mousterian.plugins.options import Option

# What each kind of plug-in is called by: its folder, and the function(s) one of which its file must have.
KINDS: Mapping[str, tuple[str, ...]] = {
    "datasets": ("load",),
    "generators": ("fit", "load"),
    "prompts": ("write",),
    "filters": ("score",),
    "models": ("build",),
    "strategies": ("train",),
    "evaluations": ("evaluate", "evaluate_trial", "observe"),
    "quality": ("measure",),
    "features": ("load",),
    "surfaces": ("accuracy",),
    "figures": ("draw",),
    "executors": ("run",),
}
FOLDERS: Mapping[str, str] = {
    "datasets": "data/datasets",
    "generators": "synthesis/generators",
    "prompts": "synthesis/prompts",
    "filters": "synthesis/filters",
    "models": "training/models",
    "strategies": "training/strategies",
    "evaluations": "training/evaluations",
    "quality": "quality/measures",
    "features": "training/features",
    "surfaces": "fitting/surfaces",
    "figures": "reporting/figures",
    "executors": "executors/backends",
}


@dataclass(frozen=True)
class Plugin:
    """What is known of a plug-in without importing it.

    Attributes:
        kind: which kind it is of.
        name: what it is called.
        module: where its entry function is.
        function: name of that.
        help: its docstring.
        options: its keyword-only arguments.
        has_members: it stands for the names that its `members()` lists.
        has_stamp: it tells the content of the files that its options name.
        preset: options that its name decides.
        broken: why it cannot be used, or nothing.
        pretrained: a generator that brings what it learnt elsewhere, so that it is external even where it is
            fitted on S_base; its file says `PRETRAINED = True`.
        has_check: it looks at what it would be asked to do before anything is made.
        place: where a figure stands among a report's; its file says `PLACE = 2.5`, and one that does not
            comes last.
        has_beside: a figure that can show several arms in one drawing.
    """

    kind: str
    name: str
    module: str
    function: str
    help: str
    options: Mapping[str, Option]
    has_members: bool
    has_stamp: bool
    preset: Mapping[str, Any]
    broken: str = ""
    pretrained: bool = False
    has_check: bool = False
    place: float = math.inf
    has_beside: bool = False

    @property
    def summary(self) -> str:
        """First line of the help text."""
        return self.help.partition("\n")[0]

    def load(self) -> Callable[..., Any]:
        """Import the plug-in's module and return its entry function."""
        function: Callable[..., Any] = getattr(importlib.import_module(self.module), self.function)
        return function

    def stamp(self, data_dir: Path, options: Mapping[str, Any]) -> str:
        """Return what tells the content of the files that the options name; empty if they name none.

        A plug-in that reads files of the user's has a function `stamp(data_dir, *, ...)` of those of its
        options that say which files, so that other files under the same path are another dataset or pool.
        """
        if not self.has_stamp:
            return ""
        found: str = self._asked("stamp", data_dir, options)
        return found

    def check(self, proposal: object, options: Mapping[str, Any]) -> None:
        """Let the plug-in's function `check(proposal, *, ...)` look at what it would be asked to do.

        It is given those of the options that it asks for.

        Raises:
            InputError: it refuses, and says the way out.
        """
        if self.has_check:
            self._asked("check", proposal, options)

    def beside(self, arms: Sequence[tuple[str, Any]]) -> Any:
        """Return the figure that the plug-in's function `beside(arms)` draws of arms' names and fits."""
        return self._asked("beside", arms, {})

    def _asked(self, function: str, about: object, options: Mapping[str, Any]) -> Any:
        """Call another function of the plug-in's file with those of the options that it asks for."""
        called = getattr(importlib.import_module(self.module), function)
        wanted = inspect.signature(called).parameters
        values = {**options, **self.preset}
        return called(about, **{name: value for name, value in values.items() if name in wanted})

    def takes_list(self, option: str) -> bool:
        """Tell whether an option's value is a list by nature."""
        annotation = self.options[option].annotation if option in self.options else ""
        return any(word in annotation for word in ("tuple", "list", "Sequence"))

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option's value: those given, checked, and the defaults of the rest.

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
                    what = f"{singular(self.kind)} {self.name!r}"
                    raise InputError(f"{what}: option {option.name!r}: {error}") from None
            elif option.required:
                raise InputError(f"{singular(self.kind)} {self.name!r} needs the option {option.name!r}")
            else:
                values[option.name] = option.default
        return values

    def _unknown_option(self, name: str) -> str:
        known = [option for option in self.options if option not in self.preset]
        match = nearest(name, known)
        tail = f"did you mean {match!r}?" if match else f"it has: {', '.join(known) or 'none'}"
        return f"{singular(self.kind)} {self.name!r} has no option {name!r}; {tail}"
