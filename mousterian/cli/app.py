"""The commands, found by reading their files as text; each is imported only when it is used."""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import cyclopts


_ORDER = ("grid", "watch", "fit", "report", "equivalence", "predict", "ratio", "plan", "suggest")
# A parameter's help names the kind of its plug-ins by the command that lists them.
_LISTED = re.compile(r"`mousterian list ([a-z]+)`")
_PARAMETERS = "\n\nParameters\n----------\n"


def commands() -> dict[str, dict[str, str]]:
    """Return each command's functions and their docstrings, read from its file, as importing takes time.

    A command's function has its name (with an underscore if it is a name of Python); a file of several
    functions is a group of commands. Functions whose names begin with an underscore are private.
    """
    found = {}
    for path in (Path(__file__).parent / "commands").glob("[!_]*.py"):
        found[path.stem] = {
            node.name.rstrip("_"): ast.get_docstring(node) or ""
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        }
    # First the commands of a study, in their order, then the others.
    rank = {name: number for number, name in enumerate(_ORDER)}
    return dict(sorted(found.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])))


def app_of(wanted: Mapping[str, Iterable[str]], *, plugin_names: bool = False) -> cyclopts.App:
    """Return an app that parses the arguments of some commands by their signatures and docstrings.

    Args:
        wanted: commands, each with the names of its functions.
        plugin_names: restrict arguments to the names of plug-ins, for completion only: the error message for
            an unknown name would not suggest the closest one.
    """
    import cyclopts

    # By default cyclopts adds a --no-... to every flag.
    plain = cyclopts.Parameter(negative="")
    made = cyclopts.App(name="mousterian", result_action="return_value", default_parameter=plain)
    for command, names in wanted.items():
        group = made
        if command not in names:
            module = import_module(f"mousterian.cli.commands.{command}")
            group = cyclopts.App(name=command, help=(module.__doc__ or "").partition(": ")[2])
            made.command(group)
        for name in names:
            function = function_of(command, name)
            group.command(_with_plugin_names(function) if plugin_names else function, name=name)
    return made


def function_of(command: str, name: str) -> Callable[..., int]:
    """Return the function of this name in a command's file."""
    module = import_module(f"mousterian.cli.commands.{command}")
    found: Callable[..., int] = getattr(module, name, None) or getattr(module, f"{name}_")
    return found


class Argument(NamedTuple):
    """One argument of a command.

    Attributes:
        name: `--n-base`, or FIT for a positional argument.
        type: its Python type, as text.
        default: empty if it is required.
        meaning: from the docstring.
    """

    name: str
    type: str
    default: str
    meaning: str


def arguments(function: Callable[..., int]) -> list[Argument]:
    """Return the arguments of a command's function, in order."""
    described = meanings(function)
    found = []
    for each in inspect.signature(function).parameters.values():
        option = each.kind is inspect.Parameter.KEYWORD_ONLY
        name = f"--{each.name.replace('_', '-')}" if option else each.name.upper()
        many = each.kind is inspect.Parameter.VAR_POSITIONAL
        default = "" if each.default is inspect.Parameter.empty else f"{each.default}"
        optional = default in {"False", "None", "()"} or many
        found.append(Argument(f"{name}..." if many else name, str(each.annotation),
                              "off" if default == "False" else "none" if optional else default,
                              described.get(each.name, "")))  # fmt: skip
    return found


def meanings(function: Callable[..., int]) -> dict[str, str]:
    """Return the description of each parameter in the docstring."""
    block = inspect.getdoc(function) or ""
    found: dict[str, str] = {}
    name = ""
    for line in block.partition(_PARAMETERS)[2].splitlines():
        if line.startswith(" "):
            found[name] = f"{found[name]} {line.strip()}".strip()
        elif line:
            name = line.strip()
            found[name] = ""
    return found


def _with_plugin_names(function: Callable[..., int]) -> Callable[..., int]:
    """Return a copy of a command's function in which names of plug-ins are choices, for completion."""
    from mousterian.plugins import registry
    from mousterian.plugins.contract import kinds

    copied = types.FunctionType(function.__code__, function.__globals__, function.__name__)
    copied.__defaults__, copied.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    copied.__doc__, copied.__module__ = function.__doc__, function.__module__
    copied.__annotations__ = inspect.get_annotations(function, eval_str=True)
    for name, meaning in meanings(function).items():
        kind = _LISTED.search(meaning)
        if kind and kind[1] in kinds():
            choice: Any = Literal[tuple(sorted(registry.working(kind[1])))]
            many = str(copied.__annotations__[name]).startswith("collections.abc.Sequence")
            copied.__annotations__[name] = list[choice] if many else choice
    return copied
