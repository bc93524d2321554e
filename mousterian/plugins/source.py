"""A plug-in's source, read as text: its entry function, options, help, and what else of its kind it has."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from mousterian.errors import InputError, nearest, nearest_or_all
from mousterian.plugins.contract import kind_named
from mousterian.plugins.options import Option
from mousterian.plugins.spec import Plugin

_IDENTITY = ("REVISION", "ADDED_OPTIONS")


def read(kind: str, name: str, module: str, path: Path, function: str = "") -> Plugin:
    """Read one plug-in's source.

    Args:
        kind: of the plug-in.
        name: of the plug-in.
        module: that its file is imported as.
        path: of the file.
        function: its entry function; empty: the one of its kind.

    Raises:
        InputError: the file cannot be read, or lacks or misspells a part of its kind.
    """
    tree = _tree(name, path)
    known = kind_named(kind)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    wanted = [function] if function else list(known.entries)
    entry = next((functions[each] for each in wanted if each in functions), None)
    if entry is None:
        raise InputError(f"plug-in {name!r} has no function {' or '.join(wanted)}", where=str(path))
    options = _options(entry, name, path)
    bound = dict(_bound(tree.body))
    form = known.entries.get(entry.name, known.forms[0])
    others = known.parts - known.entries.keys()
    try:
        if lacking := sorted(form.parts & others - bound.keys()):
            raise ValueError(f"it lacks {', '.join(lacking)}")
        defined = {*functions, *(each for each, value in bound.items() if value is not None)}
        _check_spelling(defined, others - bound.keys())
        constants = _constants(bound, known.constants)
        added = constants.get("ADDED_OPTIONS", ())
        _check_added(added, options)
        _check_options([functions[each] for each in sorted(others & functions.keys())], options, added)
    except ValueError as error:
        raise InputError(f"plug-in {name!r}: {error}", where=str(path)) from None
    text = ast.get_docstring(entry) or ast.get_docstring(tree) or ""
    parts = known.parts & bound.keys()
    return Plugin(kind, name, module, entry.name, text, options, parts=parts, constants=constants)


def _tree(name: str, path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        where = f"{path}:{error.lineno}"
        raise InputError(f"plug-in {name!r} does not parse: {error.msg}", where=where) from None
    except (OSError, ValueError) as error:
        raise InputError(f"plug-in {name!r} cannot be read: {error}", where=str(path)) from None


def _bound(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the names that are bound at the top of a file, inside `if` and `try` too, with their values."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name):
                yield name, None
            case ast.ImportFrom(names=names):
                yield from ((each.asname or each.name, None) for each in names)
            case ast.Assign(targets=targets, value=value):
                yield from ((each.id, value) for each in targets if isinstance(each, ast.Name))
                several = (
                    each for target in targets if isinstance(target, ast.Tuple) for each in target.elts
                )
                yield from ((each.id, None) for each in several if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case ast.If():
                yield from _bound([*node.body, *node.orelse])
            case ast.Try():
                handled = [line for handler in node.handlers for line in handler.body]
                yield from _bound([*node.body, *handled, *node.orelse])


def _check_spelling(defined: AbstractSet[str], missing: AbstractSet[str]) -> None:
    """Raise ValueError for a public name of the file that is nearly one that its kind has and it lacks."""
    for name in sorted(defined):
        match = None if name.startswith("_") else nearest(name, missing, cutoff=0.75)
        helper = match and match.lower() in name.lower() and len(match) < len(name)  # e.g. `checked`
        if match and not helper:
            raise ValueError(f"it has {name!r}; did you mean {match!r}? If not, name it _{name}")


def _check_added(added: Iterable[str], options: Mapping[str, Option]) -> None:
    """Raise ValueError for a name in ADDED_OPTIONS that is no option of the plug-in, or has no default."""
    for name in added:
        if name not in options:
            known = nearest_or_all(name, options, all_are="its options are")
            raise ValueError(f"ADDED_OPTIONS names {name!r}, which is no option of it; {known}")
        if options[name].required:
            raise ValueError(f"ADDED_OPTIONS names {name!r}, which has no default: rows without it have none")


def _check_options(
    functions: Iterable[ast.FunctionDef], options: Mapping[str, Option], added: Iterable[str]
) -> None:
    """Raise ValueError for a function with a keyword-only argument that it cannot be given."""
    for function in functions:
        for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
            if argument.arg not in options:
                raise ValueError(f"{function.name} takes {argument.arg!r}, which is no option of it")
            if argument.arg in added and default is None:
                raise ValueError(f"{function.name} takes {argument.arg!r} of ADDED_OPTIONS without a default")


def _constants(bound: Mapping[str, ast.expr | None], types: Mapping[str, str]) -> dict[str, Any]:
    """Return the kind's constants that are plain values.

    Raises:
        ValueError: one is of the wrong type, or part of identities and not a plain value.
    """
    found = {}
    for name in bound.keys() & types.keys():
        expression = bound[name]
        try:
            value = ast.literal_eval(expression or ast.Name(name))
        except (ValueError, TypeError):
            if name in _IDENTITY:  # ignored, it would change what trials are
                raise ValueError(f"{name} must be a plain value, written in this file") from None
            continue
        try:
            found[name] = Option(name, types[name], None, required=True).check(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found


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
