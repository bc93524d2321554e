"""The verbs of the command line, read as text, and apps of them; each is imported only when needed."""

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
# A parameter's help that says where its names are listed says what they are.
_LISTED = re.compile(r"`mousterian list ([a-z]+)`")
_PARAMETERS = "\n\nParameters\n----------\n"


def commands() -> dict[str, dict[str, str]]:
    """Return each verb's functions and their docstrings, read from its file: importing would take time.

    A verb's own function has its name (with an underscore where Python has that name itself); a file of
    several functions is a group of verbs. Functions whose names begin with an underscore are their parts.
    """
    found = {}
    for path in (Path(__file__).parent / "commands").glob("[!_]*.py"):
        found[path.stem] = {
            node.name.rstrip("_"): ast.get_docstring(node) or ""
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        }
    # A study's verbs in the order of a study, then the others.
    rank = {name: number for number, name in enumerate(_ORDER)}
    return dict(sorted(found.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])))


def app_of(wanted: Mapping[str, Iterable[str]], *, named: bool = False) -> cyclopts.App:
    """Return an app that reads the arguments of some verbs by their signatures and docstrings.

    Args:
        wanted: verbs, each with its functions' names.
        named: let names of plug-ins be completed; a name that is not known would then be refused unkindly.
    """
    import cyclopts

    # Without this, every option that is off by default has a second name that switches it off.
    plain = cyclopts.Parameter(negative="")
    made = cyclopts.App(name="mousterian", result_action="return_value", default_parameter=plain)
    for verb, names in wanted.items():
        group = made
        if verb not in names:
            module = import_module(f"mousterian.cli.commands.{verb}")
            group = cyclopts.App(name=verb, help=(module.__doc__ or "").partition(": ")[2])
            made.command(group)
        for name in names:
            function = function_of(verb, name)
            group.command(_with_names(function) if named else function, name=name)
    return made


def function_of(verb: str, name: str) -> Callable[..., int]:
    """Return the function of a verb's file that has this name."""
    module = import_module(f"mousterian.cli.commands.{verb}")
    found: Callable[..., int] = getattr(module, name, None) or getattr(module, f"{name}_")
    return found


class Argument(NamedTuple):
    """One argument of a verb.

    Attributes:
        name: as it is written: `--n-base`, or FIT where its place says what it is.
        type: its Python type, as text.
        default: empty where it must be given.
        meaning: from the docstring.
    """

    name: str
    type: str
    default: str
    meaning: str


def arguments(function: Callable[..., int]) -> list[Argument]:
    """Return the arguments of a verb's function, in their order."""
    told = meanings(function)
    found = []
    for each in inspect.signature(function).parameters.values():
        option = each.kind is inspect.Parameter.KEYWORD_ONLY
        name = f"--{each.name.replace('_', '-')}" if option else each.name.upper()
        many = each.kind is inspect.Parameter.VAR_POSITIONAL
        default = "" if each.default is inspect.Parameter.empty else f"{each.default}"
        optional = default in {"False", "None", "()"} or many
        found.append(Argument(f"{name}..." if many else name, str(each.annotation),
                              "off" if default == "False" else "none" if optional else default,
                              told.get(each.name, "")))  # fmt: skip
    return found


def meanings(function: Callable[..., int]) -> dict[str, str]:
    """Return what the docstring says of each parameter."""
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


def _with_names(function: Callable[..., int]) -> Callable[..., int]:
    """Return a copy of a verb's function in which names of plug-ins are choices, for completion."""
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
