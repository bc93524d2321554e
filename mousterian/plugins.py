"""The only lookup: a plug-in's name is its file's name; third parties come in by entry points.

Files are read as text, never imported, to learn what is there: a plug-in's entry function, its
keyword-only arguments (its options) and its docstring (its help) are all in its source. So a grid
file is checked without importing torch, and a broken plug-in spoils only its own trials.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from mousterian.errors import InputError, nearest, one, unknown_name
from mousterian.optiontypes import Option

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
_log = logging.getLogger(__name__)


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
                    what = f"{one(self.kind)} {self.name!r}"
                    raise InputError(f"{what}: option {option.name!r}: {error}") from None
            elif option.required:
                raise InputError(f"{one(self.kind)} {self.name!r} needs the option {option.name!r}")
            else:
                values[option.name] = option.default
        return values

    def _unknown_option(self, name: str) -> str:
        known = [option for option in self.options if option not in self.preset]
        match = nearest(name, known)
        tail = f"did you mean {match!r}?" if match else f"it has: {', '.join(known) or 'none'}"
        return f"{one(self.kind)} {self.name!r} has no option {name!r}; {tail}"


def _read(kind: str, name: str, module: str, path: Path, function: str | None = None) -> Plugin | None:
    """Read one plug-in's source; None if the file has no entry function of this kind."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        where = f"{path}:{error.lineno}"
        raise InputError(f"plug-in {name!r} does not parse: {error.msg}", where=where) from None
    except (OSError, ValueError) as error:
        raise InputError(f"plug-in {name!r} cannot be read: {error}", where=str(path)) from None
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    wanted = (function,) if function else KINDS[kind]
    entry = next((functions[each] for each in wanted if each in functions), None)
    if entry is None:
        return None
    options = _options(entry, name, path)
    for asking in functions.keys() & {"stamp", "check"}:
        asked = [each.arg for each in functions[asking].args.kwonlyargs]
        if stray := [each for each in asked if each not in options]:
            said = f"{asking} of plug-in {name!r} asks for {stray[0]!r}, no option of it"
            raise InputError(said, where=str(path))
    text = ast.get_docstring(entry) or ast.get_docstring(tree) or ""
    marks = ("members" in functions, "stamp" in functions)
    facts = _said(tree)
    pretrained, place = facts.get("PRETRAINED") is True, facts.get("PLACE")
    placed = place if isinstance(place, (int, float)) else math.inf
    plugin = Plugin(kind, name, module, entry.name, text, options, *marks, {}, "", pretrained)
    return replace(plugin, has_check="check" in functions, place=placed, has_beside="beside" in functions)


def _said(tree: ast.Module) -> dict[str, Any]:
    """Return the numbers, texts and truths that a file gives to names at its top."""
    return {
        ast.unparse(node.targets[0]): node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }


def _options(entry: ast.FunctionDef, name: str, path: Path) -> dict[str, Option]:
    options = {}
    for argument, default in zip(entry.args.kwonlyargs, entry.args.kw_defaults, strict=True):
        try:
            value = None if default is None else ast.literal_eval(default)
        except ValueError:
            raise InputError(
                f"option {argument.arg!r} of plug-in {name!r} has a default that is not a plain value",
                where=f"{path}:{argument.lineno}",
            ) from None
        annotation = ast.unparse(argument.annotation) if argument.annotation else "Any"
        options[argument.arg] = Option(argument.arg, annotation, value, required=default is None)
    return options


def _folder(kind: str) -> Path:
    return Path(__file__).parent / kind


def _read_or_broken(kind: str, name: str, module: str, find_path: Callable[[], tuple[Path, str]]) -> Plugin:
    """Read a plug-in; one that cannot be used is kept with its error, so that the others of its kind work."""
    try:
        path, function = find_path()
        plugin = _read(kind, name, module, path, function or None)
        if plugin is not None:
            return plugin
        error = InputError(f"plug-in {name!r} has no function {' or '.join(KINDS[kind])}", where=str(path))
    except InputError as found:
        error = found
    return Plugin(kind, name, module, "", f"broken: {error}", {}, False, False, {}, str(error))


def _path_of(point: EntryPoint) -> tuple[Path, str]:
    """Return the file that an entry point names, and the function, if it names one."""
    module, _, function = point.value.partition(":")
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # the package around the module is imported, and may raise anything
        spec = None
    if spec is None or spec.origin is None:
        raise InputError(
            f"the entry point {point.name!r} names a module that cannot be found: {module}",
            where=f"entry points of {_package(point)}",
        )
    return Path(spec.origin), function


def _itself(path: Path) -> tuple[Path, str]:
    return path, ""


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an installed package"


@cache
def available(kind: str) -> Mapping[str, Plugin]:
    """Return all plug-ins of a kind by name, ours first, then third parties'; `broken` ones too."""
    if kind not in KINDS:
        raise unknown_name("kind of plug-in", kind, KINDS)
    found = {}
    for path in sorted(_folder(kind).glob("*.py")):
        if not path.stem.startswith("_"):
            module = f"mousterian.{kind}.{path.stem}"
            found[path.stem] = _read_or_broken(kind, path.stem, module, partial(_itself, path))
    for point in entry_points(group=f"mousterian.{kind}"):
        if point.name in found:
            _log.warning(
                "%s %r of %s is left out: there is one of that name already; give it another",
                *(kind, point.name, _package(point)),
            )
            continue
        module = point.value.partition(":")[0]
        found[point.name] = _read_or_broken(kind, point.name, module, partial(_path_of, point))
    return found


def working(kind: str) -> Mapping[str, Plugin]:
    """Return the plug-ins of a kind that can be used, by name."""
    return {name: plugin for name, plugin in available(kind).items() if not plugin.broken}


@cache
def find(kind: str, name: str) -> Plugin:
    """Return the plug-in of that name; a file with `members()` stands for all the names it lists.

    Raises:
        InputError: no plug-in has that name (the message has the nearest one), or it is broken.
    """
    plugins = available(kind)
    if name in plugins:
        if plugins[name].broken:
            raise InputError(f"{one(kind)} {name!r} cannot be used: {plugins[name].broken}")
        return plugins[name]
    names = set(plugins)
    for plugin in plugins.values():
        if plugin.has_members:
            members = set(importlib.import_module(plugin.module).members())
            if name in members:
                return replace(plugin, name=name, has_members=False, preset={"name": name})
            names |= members
    raise unknown_name(one(kind), name, names, hint=f"`mousterian list {kind}` shows what there is")
