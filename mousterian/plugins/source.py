"""A plug-in's source, read as text: its entry function, options and help."""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from mousterian.errors import InputError
from mousterian.plugins.options import Option
from mousterian.plugins.spec import KINDS, Plugin


def read(kind: str, name: str, module: str, path: Path, function: str | None = None) -> Plugin | None:
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
